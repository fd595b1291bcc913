//! Which octets of a remote file make up the local one: all of them, or the
//! parts that the client asked for, one behind the other in the order in which
//! it named them ("`IBackgroundCopyJob3::AddFileWithRanges`"). Pure.

use crate::bits::Span;

/// The parts of a remote file that make up a local one, in order; never none.
#[derive(Clone, Debug)]
pub(super) struct Pieces(Vec<Span>);

/// What comes next of a remote file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    /// The first octet.
    pub(super) first: u64,
    /// The last octet; none: to the end.
    pub(super) last: Option<u64>,
}

/// A part that was asked for is not inside the remote file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Outside;

/// Where the octets of a whole remote file go, when only parts of it are wanted.
#[derive(Debug)]
pub(super) struct Places(Vec<Place>);

#[derive(Debug)]
struct Place {
    start: u64,
    end: u64,
    local: u64,
}

impl Pieces {
    /// The parts of these ranges; all of the file when there are none.
    pub(super) fn of(ranges: &[Span]) -> Self {
        if ranges.is_empty() {
            return Self(vec![Span {
                offset: 0,
                length: None,
            }]);
        }
        Self(ranges.to_vec())
    }

    /// Are they the whole remote file?
    pub(super) fn are_whole(&self) -> bool {
        matches!(
            self.0[..],
            [Span {
                offset: 0,
                length: None
            }]
        )
    }

    /// Octets of the local file, when the remote one has `total`; none: that
    /// cannot be said.
    ///
    /// # Errors
    ///
    /// [`Outside`] when a part is not inside the remote file.
    pub(super) fn size(&self, total: Option<u64>) -> Result<Option<u64>, Outside> {
        let mut sum = Some(0_u64);
        for span in &self.0 {
            let length = self.length(*span, total)?;
            sum = match sum.zip(length) {
                Some((sum, length)) => Some(sum.checked_add(length).ok_or(Outside)?),
                None => None,
            };
        }
        Ok(sum)
    }

    /// Octets of the remote file, by those of the local one; none: that cannot
    /// be said.
    pub(super) fn total(&self, size: u64) -> Option<u64> {
        let open = self.0.iter().find(|span| span.length.is_none())?;
        let fixed: u64 = self
            .0
            .iter()
            .filter_map(|span| span.length)
            .fold(0, u64::saturating_add);
        size.checked_sub(fixed)?.checked_add(open.offset)
    }

    /// The piece that goes on at octet `at` of the local file, when the remote one
    /// has `total`; none: nothing is left, or it cannot be said where it lies.
    pub(super) fn from(&self, at: u64, total: Option<u64>) -> Option<Piece> {
        let mut before = at;
        for span in &self.0 {
            let first = span.offset.checked_add(before)?;
            let Some(length) = self.length(*span, total).ok()? else {
                return Some(Piece { first, last: None });
            };
            if before < length || length == 0 && self.are_whole() {
                let last = span.length.map(|length| span.offset + (length - 1));
                return Some(Piece { first, last });
            }
            before -= length;
        }
        None
    }

    /// Where the octets of the whole remote file go. None: that cannot be said as
    /// long as `total` is unknown.
    ///
    /// # Errors
    ///
    /// [`Outside`] when a part is not inside the remote file.
    pub(super) fn places(&self, total: Option<u64>) -> Result<Option<Places>, Outside> {
        let mut places = Vec::with_capacity(self.0.len());
        let mut local = Some(0_u64);
        for span in &self.0 {
            let length = self.length(*span, total)?;
            let Some(at) = local else {
                return Ok(None);
            };
            places.push(Place {
                start: span.offset,
                end: span.offset.saturating_add(length.unwrap_or(u64::MAX)),
                local: at,
            });
            local = match length {
                Some(length) => Some(at.checked_add(length).ok_or(Outside)?),
                None => None,
            };
        }
        places.sort_unstable_by_key(|place| place.start);
        Ok(Some(Places(places)))
    }

    fn length(&self, span: Span, total: Option<u64>) -> Result<Option<u64>, Outside> {
        match (span.length, total) {
            (None, None) => Ok(None),
            (None, Some(total)) if self.are_whole() => Ok(Some(total)),
            (None, Some(total)) => match total.checked_sub(span.offset) {
                None | Some(0) => Err(Outside),
                rest => Ok(rest),
            },
            (Some(length), total) => {
                let end = span.offset.checked_add(length).ok_or(Outside)?;
                if length == 0 || total.is_some_and(|total| end > total) {
                    return Err(Outside);
                }
                Ok(Some(length))
            }
        }
    }
}

impl Places {
    /// Of `octets` that begin at `at` of the remote file: where each wanted run
    /// of them goes, as its first octet among them, its length, and its place in
    /// the local file.
    pub(super) fn of(&self, at: u64, octets: usize) -> impl Iterator<Item = (usize, usize, u64)> {
        let end = at.saturating_add(octets as u64);
        let first = self.0.partition_point(|place| place.end <= at);
        self.0[first..]
            .iter()
            .take_while(move |place| place.start < end)
            .filter_map(move |place| {
                let (from, to) = (place.start.max(at), place.end.min(end));
                let skipped = usize::try_from(from - at).ok()?;
                let length = usize::try_from(to.checked_sub(from)?).ok()?;
                let local = place.local.checked_add(from - place.start)?;
                Some((skipped, length, local))
            })
    }

    /// Is nothing wanted from octet `at` of the remote file on?
    pub(super) fn end_before(&self, at: u64) -> bool {
        self.0.last().is_none_or(|place| place.end <= at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(offset: u64, length: Option<u64>) -> Span {
        Span { offset, length }
    }

    #[test]
    fn without_ranges_it_is_the_whole_file() {
        let pieces = Pieces::of(&[]);
        assert!(pieces.are_whole());
        assert_eq!(pieces.size(None), Ok(None));
        for total in [0, 7] {
            assert_eq!(pieces.size(Some(total)), Ok(Some(total)));
            assert_eq!(pieces.total(total), Some(total));
        }
        let rest = |first| Some(Piece { first, last: None });
        assert_eq!(pieces.from(0, None), rest(0));
        assert_eq!(pieces.from(0, Some(0)), rest(0));
        assert_eq!(pieces.from(5, Some(7)), rest(5));
        assert_eq!(pieces.from(7, Some(7)), None);
    }

    #[test]
    fn parts_follow_in_the_order_of_the_client() {
        let pieces = Pieces::of(&[span(8, None), span(2, Some(3))]);
        assert!(!pieces.are_whole());
        assert_eq!(pieces.size(None), Ok(None));
        assert_eq!(pieces.size(Some(10)), Ok(Some(5)));
        assert_eq!(pieces.total(5), Some(10));
        let piece = |first, last| Some(Piece { first, last });
        assert_eq!(pieces.from(1, Some(10)), piece(9, None));
        assert_eq!(pieces.from(2, Some(10)), piece(2, Some(4)));
        assert_eq!(pieces.from(4, Some(10)), piece(4, Some(4)));
        assert_eq!(pieces.from(5, Some(10)), None);
        // Nobody knows where the first part ends.
        assert!(matches!(pieces.places(None), Ok(None)));
        for total in [4, 8] {
            assert_eq!(pieces.size(Some(total)), Err(Outside), "{total}");
        }
    }

    proptest! {
        #[test]
        fn every_octet_is_asked_for_once_and_lands_in_its_place(
            lengths in proptest::collection::vec((1_u64..9, 0_u64..4), 1..6),
            order in any::<u64>(),
            open: bool,
            chunk in 1_usize..7,
        ) {
            // Ranges that do not overlap, in some order.
            let mut spans = Vec::new();
            let mut at = 0;
            for (length, gap) in lengths {
                spans.push(span(at + gap, Some(length)));
                at += gap + length;
            }
            let total = at;
            if open && let Some(last) = spans.last_mut() {
                last.length = None;
            }
            let turns = usize::try_from(order).unwrap_or(0) % spans.len();
            spans.rotate_left(turns);
            let remote: Vec<u64> = (0..total).collect();
            let expected: Vec<u64> = spans
                .iter()
                .flat_map(|span| {
                    let end = span.length.map_or(total, |length| span.offset + length);
                    span.offset..end
                })
                .collect();
            let pieces = Pieces::of(&spans);
            let size = pieces.size(Some(total)).expect("inside").expect("known");
            prop_assert_eq!(size, expected.len() as u64);
            if open && !pieces.are_whole() {
                prop_assert_eq!(pieces.total(size), Some(total));
            }
            let mut asked = Vec::new();
            while let Some(piece) = pieces.from(asked.len() as u64, Some(total)) {
                let end = piece.last.map_or(total, |last| last + 1);
                // A server may cut it short.
                asked.extend(piece.first..end.min(piece.first + chunk as u64));
            }
            prop_assert_eq!(&asked, &expected);
            let places = pieces.places(Some(total)).expect("inside").expect("known");
            let mut landed = vec![u64::MAX; expected.len()];
            let mut at = 0;
            for octets in remote.chunks(chunk) {
                for (from, length, local) in places.of(at, octets.len()) {
                    let local = usize::try_from(local).expect("small");
                    landed[local..local + length].copy_from_slice(&octets[from..from + length]);
                }
                at += octets.len() as u64;
            }
            prop_assert!(places.end_before(at));
            prop_assert_eq!(&landed, &expected);
        }

        #[test]
        fn any_ranges_are_counted_or_outside(
            spans in proptest::collection::vec((any::<u64>(), any::<Option<u64>>()), 1..5),
            total: Option<u64>,
            at: u64,
        ) {
            let spans: Vec<Span> = spans.into_iter().map(|(offset, length)| span(offset, length)).collect();
            let pieces = Pieces::of(&spans);
            let _ = (pieces.size(total), pieces.total(at), pieces.places(total).map(|_| ()));
            let _ = pieces.from(at, total);
        }
    }
}
