//! What an answer to a request for a part of a file means (RFC 9110 14.4, 15.3.7,
//! 15.5.17). Pure.

use super::range::ContentRange;
use crate::bits::Validator;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The first octet.
    pub(super) first: u64,
    /// The last octet; none: to the end.
    pub(super) last: Option<u64>,
    /// The version whose octets lie here; none: nothing lies here.
    pub(super) here: Option<&'a Validator>,
}

/// What the head of the answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Content-Range`.
    pub(super) range: Option<ContentRange>,
    /// Octets of the body.
    pub(super) length: Option<u64>,
    /// The version.
    pub(super) validator: &'a Validator,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Octets come that belong to what lies here.
    Part(Part),
    /// The whole file comes.
    Whole {
        /// It is the version whose octets lie here.
        is_same: bool,
    },
    /// Nothing lies there.
    Beyond {
        /// Octets of the whole.
        total: Option<u64>,
        /// It is the version whose octets lie here.
        is_same: bool,
    },
    /// Octets of another version than those that lie here.
    Changed,
    /// It does not fit what was asked for.
    Unfit(&'static str),
    /// It is about something else than a part.
    Other,
}

/// Octets that come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Part {
    /// So many come before the first that was asked for.
    pub(super) skip: u64,
    /// So many of what was asked for; fewer than that when the server has cut the
    /// range short.
    pub(super) octets: u64,
    /// Octets of the whole file, if known.
    pub(super) total: Option<u64>,
}

impl Wanted<'_> {
    /// Judges an answer.
    pub(super) fn judge(&self, said: Said<'_>) -> Verdict {
        let is_same = self
            .here
            .is_some_and(|here| here.is_same_version(said.validator));
        match said.status {
            200 | 203 => Verdict::Whole { is_same },
            206 => {
                if self.here.is_some() && !is_same {
                    return Verdict::Changed;
                }
                match said.range {
                    Some(ContentRange::Part { first, last, total }) => {
                        self.fit(first, last, total, said.length)
                    }
                    // `multipart/byteranges` too, which nobody may send to a
                    // request for one range.
                    Some(ContentRange::Unsatisfied { .. }) | None => {
                        Verdict::Unfit("a part came that does not say which one it is")
                    }
                }
            }
            416 => Verdict::Beyond {
                total: match said.range {
                    Some(ContentRange::Unsatisfied { total }) => Some(total),
                    Some(ContentRange::Part { .. }) | None => None,
                },
                is_same,
            },
            _ => Verdict::Other,
        }
    }

    fn fit(&self, first: u64, last: u64, total: Option<u64>, length: Option<u64>) -> Verdict {
        let Some(octets) = (last - first).checked_add(1) else {
            return Verdict::Unfit(WRONG_RANGE);
        };
        if length.is_some_and(|length| length != octets) {
            return Verdict::Unfit("the length of the part is not that of its range");
        }
        if first > self.first || last < self.first {
            return Verdict::Unfit(WRONG_RANGE);
        }
        // A server may send more than was asked for.
        let end = last.min(self.last.unwrap_or(last));
        Verdict::Part(Part {
            skip: self.first - first,
            octets: end - self.first + 1,
            total,
        })
    }
}

const WRONG_RANGE: &str = "another part came than was asked for";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(etag: &str) -> Validator {
        Validator {
            etag: Some(etag.to_owned()),
            ..Validator::default()
        }
    }

    fn judge(wanted: (u64, Option<u64>), said: (u16, &str, Option<u64>)) -> Verdict {
        let (here, (first, last)) = (version("\"a\""), wanted);
        let here = Some(&here);
        let (status, range, length) = said;
        Wanted { first, last, here }.judge(Said {
            status,
            range: ContentRange::parse(range),
            length,
            validator: &version("\"a\""),
        })
    }

    fn part(skip: u64, octets: u64, total: Option<u64>) -> Verdict {
        Verdict::Part(Part {
            skip,
            octets,
            total,
        })
    }

    #[test]
    fn parts_that_hold_the_first_wanted_octet_fit() {
        for (wanted, range, length, expected) in [
            ((5, None), "bytes 5-9/10", Some(5), part(0, 5, Some(10))),
            ((5, None), "bytes 5-9/*", None, part(0, 5, None)),
            ((5, None), "bytes 3-9/10", Some(7), part(2, 5, Some(10))),
            ((5, None), "bytes 5-6/10", Some(2), part(0, 2, Some(10))),
            ((5, Some(7)), "bytes 0-9/10", Some(10), part(5, 3, Some(10))),
            ((5, Some(7)), "bytes 5-6/10", Some(2), part(0, 2, Some(10))),
        ] {
            assert_eq!(judge(wanted, (206, range, length)), expected, "{range}");
        }
    }

    #[test]
    fn other_parts_do_not() {
        for (range, length) in [
            ("bytes 6-9/10", None),
            ("bytes 0-4/10", None),
            ("bytes 5-9/10", Some(4)),
            ("bytes 5-9/10", Some(6)),
            ("bytes */10", None),
            ("", None),
            ("nonsense", Some(5)),
        ] {
            let verdict = judge((5, None), (206, range, length));
            assert!(matches!(verdict, Verdict::Unfit(_)), "{range}: {verdict:?}");
        }
    }

    #[test]
    fn other_statuses_are_told_apart() {
        assert_eq!(
            judge((5, None), (200, "", None)),
            Verdict::Whole { is_same: true }
        );
        let beyond = |total| Verdict::Beyond {
            total,
            is_same: true,
        };
        assert_eq!(judge((5, None), (416, "bytes */5", None)), beyond(Some(5)));
        assert_eq!(judge((5, None), (416, "", None)), beyond(None));
        for status in [204, 302, 404, 503] {
            let verdict = judge((5, None), (status, "bytes 5-9/10", None));
            assert_eq!(verdict, Verdict::Other);
        }
    }

    proptest! {
        #[test]
        fn only_octets_of_the_same_version_are_put_behind_others(
            first in 0_u64..20,
            length in proptest::option::of(1_u64..20),
            range in proptest::option::of((0_u64..40, 0_u64..40, proptest::option::of(0_u64..40))),
            body in proptest::option::of(0_u64..40),
            status in prop_oneof![Just(200), Just(206), Just(416), 100_u16..600],
            own in 0..4,
            other in 0..4,
        ) {
            let versions = [version("\"a\""), version("\"b\""), version("W/\"a\""), Validator::default()];
            let here = &versions[usize::try_from(own).expect("small")];
            let validator = &versions[usize::try_from(other).expect("small")];
            let last = length.map(|length| first + length - 1);
            let wanted = Wanted { first, last, here: Some(here) };
            let range = range.map(|(first, last, total)| match total {
                Some(total) if first > last => ContentRange::Unsatisfied { total },
                total => ContentRange::Part { first, last: last.max(first), total },
            });
            let said = Said { status, range, length: body, validator };
            match wanted.judge(said) {
                Verdict::Part(part) => {
                    prop_assert!(own == other && own < 2 && status == 206);
                    let Some(ContentRange::Part { first: from, last: to, .. }) = range else {
                        panic!("a part without its range");
                    };
                    prop_assert_eq!(from + part.skip, first);
                    prop_assert!(part.octets > 0 && first + part.octets - 1 <= to);
                    prop_assert!(last.is_none_or(|last| first + part.octets - 1 <= last));
                }
                Verdict::Whole { is_same } | Verdict::Beyond { is_same, .. } => {
                    prop_assert_eq!(is_same, own == other && own < 2);
                }
                Verdict::Changed | Verdict::Unfit(_) | Verdict::Other => {}
            }
        }
    }
}
