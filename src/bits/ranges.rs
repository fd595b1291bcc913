//! The parts of a remote file that a client asks for
//! ("`IBackgroundCopyJob3::AddFileWithRanges`").

use super::Hresult;
use super::Refused;
use super::Span;

/// Checks the parts that a client asks for, of which there may be `most`.
///
/// # Errors
///
/// [`Refused`] with `E_INVALIDARG` when there are none,
/// `BG_E_TOO_MANY_RANGES_IN_FILE` when there are too many, `BG_E_INVALID_RANGE`
/// for one without octets or beyond the largest file, and
/// `BG_E_OVERLAPPING_RANGES` when two have an octet in common.
pub(crate) fn check_ranges(ranges: &[Span], most: usize) -> Result<(), Refused> {
    if ranges.is_empty() {
        return Err(Refused(Hresult::E_INVALIDARG));
    }
    if ranges.len() > most {
        return Err(Refused(Hresult::BG_E_TOO_MANY_RANGES_IN_FILE));
    }
    let mut ends = Vec::with_capacity(ranges.len());
    for range in ranges {
        let end = match range.length {
            // The largest number stands for "to the end".
            None if range.offset < u64::MAX => Some(u64::MAX),
            Some(length) if length > 0 => range.offset.checked_add(length),
            None | Some(_) => None,
        };
        let end = end.ok_or(Refused(Hresult::BG_E_INVALID_RANGE))?;
        ends.push((range.offset, end));
    }
    ends.sort_unstable();
    if ends.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(Refused(Hresult::BG_E_OVERLAPPING_RANGES));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(offset: u64, length: Option<u64>) -> Span {
        Span { offset, length }
    }

    #[test]
    fn each_wrong_range_has_its_code() {
        for (ranges, code) in [
            (vec![], Hresult::E_INVALIDARG),
            (vec![span(0, Some(0))], Hresult::BG_E_INVALID_RANGE),
            (vec![span(u64::MAX, None)], Hresult::BG_E_INVALID_RANGE),
            (vec![span(u64::MAX, Some(1))], Hresult::BG_E_INVALID_RANGE),
            (vec![span(5, Some(u64::MAX))], Hresult::BG_E_INVALID_RANGE),
            (
                vec![span(0, Some(2)), span(1, Some(1))],
                Hresult::BG_E_OVERLAPPING_RANGES,
            ),
            (
                vec![span(7, Some(2)), span(0, None)],
                Hresult::BG_E_OVERLAPPING_RANGES,
            ),
            (
                vec![span(0, None), span(9, None)],
                Hresult::BG_E_OVERLAPPING_RANGES,
            ),
            (
                vec![span(3, Some(2)), span(3, Some(2))],
                Hresult::BG_E_OVERLAPPING_RANGES,
            ),
            (
                vec![
                    span(0, Some(1)),
                    span(1, Some(1)),
                    span(2, Some(1)),
                    span(3, Some(1)),
                ],
                Hresult::BG_E_TOO_MANY_RANGES_IN_FILE,
            ),
        ] {
            assert_eq!(check_ranges(&ranges, 3), Err(Refused(code)), "{ranges:?}");
        }
    }

    #[test]
    fn neighbours_in_any_order_fit() {
        for ranges in [
            vec![span(0, None)],
            vec![span(100, Some(50)), span(0, Some(100)), span(150, None)],
        ] {
            assert_eq!(check_ranges(&ranges, 3), Ok(()), "{ranges:?}");
        }
    }

    proptest! {
        #[test]
        fn what_fits_has_no_octet_twice(
            ranges in proptest::collection::vec((0_u64..40, proptest::option::of(0_u64..12)), 0..5)
        ) {
            let ranges: Vec<Span> = ranges.into_iter().map(|(at, length)| span(at, length)).collect();
            if check_ranges(&ranges, 5).is_ok() {
                for octet in 0..60 {
                    let has = |range: &&Span| {
                        octet >= range.offset && range.length.is_none_or(|length| octet < range.offset + length)
                    };
                    prop_assert!(ranges.iter().filter(has).count() < 2);
                }
            }
        }
    }
}
