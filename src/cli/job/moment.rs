//! A time as the command line takes it: a date, or a span from now.

use std::time::Duration;
use std::time::SystemTime;

use crate::bits::Timestamp;

/// Reads `2026-01-31T23:30:00Z` (or without time, for midnight), or a span
/// such as `90s`, `10m`, `2h`, `1d` from `now`.
pub(super) fn read(text: &str, now: SystemTime) -> Option<Timestamp> {
    let seconds = match span(text) {
        Some(span) => return Some(Timestamp::from(now) + span),
        None => date(text)?,
    };
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    Some(Timestamp::from(at))
}

fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count = number(text.strip_suffix(unit)?)?;
    // Ten thousand years are enough.
    (count < 4_000_000).then(|| Duration::from_secs(count * each))
}

/// Seconds since 1970.
fn date(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-')?;
    let time = time.strip_suffix('Z')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let is_date = (1970..10_000).contains(&year) && (1..=days).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years that begin in March, as in the other direction.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let parts: Vec<u64> = text.split(separator).map(number).collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let at = SystemTime::from(read(text, now)?);
        Some(at.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }

    #[test]
    fn dates_and_spans_are_read() {
        for (text, wanted) in [
            ("90s", Some(1_090)),
            ("2h", Some(8_200)),
            ("1970-01-01", Some(0)),
            ("2000-02-29T12:13:19Z", Some(951_826_399)),
            ("2024-12-31 23:59:59Z", Some(1_735_689_599)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("2100-02-29", None),
            ("2024-13-01", None),
            ("2024-01-01T00:00:00", None),
            ("2024-01-01T24:00:00Z", None),
            ("1969-12-31", None),
            ("-5s", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "[0-9TZsmhd: \\PC-]*") {
            let _ = seconds(&text);
        }
    }
}
