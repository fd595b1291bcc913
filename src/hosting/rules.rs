//! What is done with a fragment. Pure.

use crate::transfer::upload_packet::FragmentRange;

/// What is done with a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Take {
    /// It brings what is expected; so many octets at its start are here already
    /// ("Fragment": of a range that overlaps only the new part is written).
    Store {
        /// Octets that are passed over.
        skip: u64,
    },
    /// It is the last one, and everything is here: the client may have lost the
    /// answer to it.
    Repeated,
    /// It does not begin where the last one ended: 416, with the octet that is
    /// expected.
    OutOfStep,
    /// It says another size of the file than those before it.
    OtherTotal,
}

impl Take {
    /// What is done with a fragment that brings `range`, when `next` is the
    /// octet that is expected and those before it have said `total`.
    pub(super) fn of(range: FragmentRange, next: u64, total: Option<u64>) -> Self {
        if total.is_some_and(|total| total != range.total) {
            return Self::OtherTotal;
        }
        let is_last = range.end() == range.total;
        if next >= range.total && is_last {
            return Self::Repeated;
        }
        if range.first > next || range.end() <= next {
            return Self::OutOfStep;
        }
        Self::Store {
            skip: next - range.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(first: u64, length: u64, next: u64) -> Take {
        let range = FragmentRange {
            first,
            length,
            total: 100,
        };
        Take::of(range, next, Some(100))
    }

    #[test]
    fn fragments_follow_one_another() {
        assert_eq!(of(0, 40, 0), Take::Store { skip: 0 });
        assert_eq!(of(40, 60, 40), Take::Store { skip: 0 });
        assert_eq!(of(41, 10, 40), Take::OutOfStep);
    }

    #[test]
    fn of_an_overlap_only_the_new_part_counts() {
        assert_eq!(of(10, 50, 40), Take::Store { skip: 30 });
        assert_eq!(of(0, 40, 40), Take::OutOfStep);
        assert_eq!(of(0, 10, 40), Take::OutOfStep);
    }

    #[test]
    fn the_last_fragment_may_be_repeated_and_no_other() {
        assert_eq!(of(90, 10, 100), Take::Repeated);
        assert_eq!(of(0, 100, 100), Take::Repeated);
        assert_eq!(of(0, 50, 100), Take::OutOfStep);
    }

    #[test]
    fn a_file_without_octets_is_here_with_its_first_fragment() {
        let range = FragmentRange {
            first: 0,
            length: 0,
            total: 0,
        };
        assert_eq!(Take::of(range, 0, None), Take::Repeated);
        assert_eq!(Take::of(range, 0, Some(5)), Take::OtherTotal);
    }

    proptest! {
        #[test]
        fn what_is_stored_is_the_next_octet_on(
            first in 0_u64..50, length in 1_u64..50, rest in 0_u64..50, next in 0_u64..150,
        ) {
            let total = first + length + rest;
            let range = FragmentRange { first, length, total };
            if let Take::Store { skip } = Take::of(range, next, Some(total)) {
                prop_assert_eq!(first + skip, next);
                prop_assert!(skip < length);
            }
        }
    }
}
