//! Ranges of octets: what a `Content-Range` says (RFC 9110 14.4). Pure.

/// The header `Content-Range` of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ContentRange {
    /// `bytes FIRST-LAST/TOTAL` or `…/*`.
    Part {
        /// The first octet that follows.
        first: u64,
        /// The last octet that follows.
        last: u64,
        /// Octets of the whole, if known.
        total: Option<u64>,
    },
    /// `bytes */TOTAL`: what was asked for is not there.
    Unsatisfied {
        /// Octets of the whole.
        total: u64,
    },
}

impl ContentRange {
    /// Reads the header; `None` when it is not well-formed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim().split_once('/')?;
        if range == "*" {
            return number(total).map(|total| Self::Unsatisfied { total });
        }
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        if first > last || last == u64::MAX || total.is_some_and(|total| last >= total) {
            return None;
        }
        Some(Self::Part { first, last, total })
    }
}

/// Digits only: `parse` would also take a sign.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_the_header() {
        let part = |first, last, total| Some(ContentRange::Part { first, last, total });
        for (text, expected) in [
            ("bytes 0-9/10", part(0, 9, Some(10))),
            ("Bytes 5-9/*", part(5, 9, None)),
            ("bytes */10", Some(ContentRange::Unsatisfied { total: 10 })),
            ("bytes */*", None),
            ("bytes 9-5/10", None),
            ("bytes 0-10/10", None),
            ("bytes +0-9/10", None),
            ("bytes 0-9", None),
            ("octets 0-9/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-99999999999999999999/*", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = ContentRange::parse(&text);
        }

        #[test]
        fn a_part_lies_in_its_whole(text in "bytes [0-9]{1,20}-[0-9]{1,20}/([0-9]{1,20}|\\*)") {
            if let Some(ContentRange::Part { first, last, total }) = ContentRange::parse(&text) {
                prop_assert!(first <= last && total.is_none_or(|total| last < total));
            }
        }
    }
}
