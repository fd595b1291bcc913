//! Which octets of a file a GET is answered with: `Range`, `If-Range`,
//! `If-Unmodified-Since` (RFC 9110 13.1, 14). Pure.

use std::time::SystemTime;

use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::header;

/// The version of a file that is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    /// Its octets.
    pub(super) octets: u64,
    /// `ETag`, a strong one.
    pub(super) tag: &'a str,
    /// `Last-Modified`.
    pub(super) modified_at: SystemTime,
}

/// What a GET is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Portion {
    /// 200: all of it.
    All,
    /// 206: so many octets from the first on.
    Part {
        /// The first octet.
        first: u64,
        /// At least one.
        octets: u64,
    },
    /// 412: it is younger than the client wants.
    Changed,
    /// 416: it has no such octets.
    None,
}

impl Portion {
    /// What `headers` ask for.
    pub(super) fn of(headers: &HeaderMap, version: Version<'_>) -> Self {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::trim);
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        if let Some(since) = text(header::IF_UNMODIFIED_SINCE).and_then(date)
            && whole_seconds(version.modified_at) > whole_seconds(since)
        {
            return Self::Changed;
        }
        let is_same = |wanted: &str| {
            wanted == version.tag
                || date(wanted)
                    .is_some_and(|at| whole_seconds(at) == whole_seconds(version.modified_at))
        };
        if !text(header::IF_RANGE).is_none_or(is_same) {
            return Self::All;
        }
        // What cannot be read, and several ranges at once, may be passed over.
        match text(header::RANGE).and_then(parse) {
            Some(wanted) => wanted.of(version.octets),
            None => Self::All,
        }
    }
}

/// One range, as it is asked for.
#[derive(Clone, Copy)]
enum Wanted {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Wanted {
    fn of(self, octets: u64) -> Portion {
        let (first, end) = match self {
            Self::From(first) => (first, octets),
            Self::Between(first, last) => (first, last.saturating_add(1).min(octets)),
            Self::Last(many) => (octets - many.min(octets), octets),
        };
        match end.checked_sub(first) {
            Some(octets) if octets > 0 => Portion::Part { first, octets },
            Some(_) | None => Portion::None,
        }
    }
}

fn parse(text: &str) -> Option<Wanted> {
    let (unit, range) = text.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let text = text.trim();
        let is_number = text.bytes().all(|octet| octet.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(Wanted::Last),
        (first, "") => number(first).map(Wanted::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Wanted::Between(first, last))
        }
    }
}

/// Dates in headers have no fractions.
fn whole_seconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(headers: &[(&str, &str)]) -> Portion {
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        });
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let version = Version {
            octets: 100,
            tag: "\"a\"",
            modified_at: at,
        };
        Portion::of(&headers.collect(), version)
    }

    const fn part(first: u64, octets: u64) -> Portion {
        Portion::Part { first, octets }
    }

    #[test]
    fn one_range_is_answered_with_its_octets() {
        for (range, portion) in [
            ("bytes=0-9", part(0, 10)),
            ("Bytes=90-", part(90, 10)),
            ("bytes=-7", part(93, 7)),
            ("bytes=-700", part(0, 100)),
            ("bytes=99-1000", part(99, 1)),
            ("bytes=0-18446744073709551615", part(0, 100)),
            ("bytes=100-", Portion::None),
            ("bytes=-0", Portion::None),
            ("bytes=5-4", Portion::All),
            ("bytes=0-1,4-5", Portion::All),
            ("bytes=-", Portion::All),
            ("lines=0-1", Portion::All),
        ] {
            assert_eq!(of(&[("range", range)]), portion, "{range}");
        }
        assert_eq!(of(&[]), Portion::All);
    }

    #[test]
    fn a_range_of_another_version_is_answered_with_all() {
        for (wanted, portion) in [
            ("\"a\"", part(0, 10)),
            ("\"b\"", Portion::All),
            ("W/\"a\"", Portion::All),
            ("Sun, 06 Nov 1994 08:49:37 GMT", part(0, 10)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Portion::All),
        ] {
            let answer = of(&[("range", "bytes=0-9"), ("if-range", wanted)]);
            assert_eq!(answer, portion, "{wanted}");
        }
    }

    #[test]
    fn a_younger_file_than_the_client_wants_is_not_given() {
        let of = |date| of(&[("if-unmodified-since", date)]);
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Portion::All);
        assert_eq!(of("Sun, 06 Nov 1994 08:49:36 GMT"), Portion::Changed);
        assert_eq!(of("soon"), Portion::All);
    }
}
