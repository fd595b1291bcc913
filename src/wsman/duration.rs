//! `xs:duration`, as header blocks and enumerations carry it.

use std::time::Duration;

/// Reads a duration that is not negative: `PT60.000S`, `P0DT0H1M0S`. A year
/// counts 365 days and a month 30; what is too long for the type is the
/// longest there is.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim().strip_prefix('P')?;
    if rest.len() > MAX_OCTETS {
        return None;
    }
    let mut total = Duration::ZERO;
    let mut units = DATE_UNITS.as_slice();
    let mut is_empty = true;
    let mut in_time = false;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time || time.is_empty() {
                return None;
            }
            in_time = true;
            units = &TIME_UNITS;
            rest = time;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let letter = tail.chars().next()?;
        let at = units.iter().position(|(unit, _)| *unit == letter)?;
        let seconds = units[at].1;
        units = &units[at + 1..];
        let part = match number.split_once('.') {
            None => whole(number, seconds)?,
            Some((number, fraction)) if letter == 'S' => {
                whole(number, 1)?.saturating_add(nanoseconds(fraction)?)
            }
            Some(_) => return None,
        };
        total = total.saturating_add(part);
        is_empty = false;
        rest = &tail[letter.len_utf8()..];
    }
    (!is_empty).then_some(total)
}

/// Writes a duration in seconds, as Windows does: `PT60.000S`.
pub(super) fn text(duration: Duration) -> String {
    format!("PT{}.{:03}S", duration.as_secs(), duration.subsec_millis())
}

fn whole(digits: &str, seconds: u64) -> Option<Duration> {
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(seconds)))
}

fn nanoseconds(digits: &str) -> Option<Duration> {
    if digits.is_empty() || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, octet| sum * 10 + u64::from(octet - b'0'));
    Some(Duration::from_nanos(nanoseconds))
}

const DATE_UNITS: [(char, u64); 3] = [('Y', 365 * 86_400), ('M', 30 * 86_400), ('D', 86_400)];
const TIME_UNITS: [(char, u64); 3] = [('H', 3_600), ('M', 60), ('S', 1)];

/// Longer than any duration that means something.
const MAX_OCTETS: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_real_clients_are_read() {
        for (written, milliseconds) in [
            ("PT60.000S", 60_000),
            ("PT20S", 20_000),
            ("PT60.0S", 60_000),
            ("PT600.000000S", 600_000),
            ("PT1M30S", 90_000),
            ("P0DT0H1M0S", 60_000),
            (" PT0.5S ", 500),
            ("P1D", 86_400_000),
        ] {
            assert_eq!(
                parse(written),
                Some(Duration::from_millis(milliseconds)),
                "{written}"
            );
        }
        assert!(parse("PT3759670629.777S").is_some());
        assert!(parse("PT99999999999999999999999S").is_some());
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for written in [
            "", "P", "PT", "60", "-PT60S", "PT1S1M", "PT1.5M", "PT.S", "P1DT", "PT1SPT1S", "PTS",
        ] {
            assert_eq!(parse(written), None, "{written}");
        }
    }

    #[test]
    fn a_written_duration_is_read_again() {
        assert_eq!(text(Duration::from_millis(1_500)), "PT1.500S");
        assert_eq!(parse("PT1.500S"), Some(Duration::from_millis(1_500)));
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn arbitrary_letters_are_read_or_refused(text in "P[0-9YMDTHS.]{0,20}") {
            let _ = parse(&text);
        }
    }
}
