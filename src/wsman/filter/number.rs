//! Numbers of any length, of which integers are compared with nothing lost.

/// A number as far as an integer can be compared with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Number {
    /// The largest integer that is not above it; the last one of `i128` for
    /// numbers beyond, which are beyond every type of CIM too.
    pub(super) floor: i128,
    /// It is that integer.
    pub(super) is_whole: bool,
}

impl Number {
    /// Reads `12`, `-3`, `+4.5`, `6e2`, `0x1F`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (is_negative, digits) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let hex = digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"));
        let (magnitude, is_whole) = match hex {
            Some(hex) => (magnitude(hex.chars(), 16)?, true),
            None => decimal(digits)?,
        };
        Some(Self {
            floor: match (is_negative, is_whole) {
                (false, _) => magnitude,
                (true, true) => -magnitude,
                (true, false) => -magnitude - 1,
            },
            is_whole,
        })
    }
}

/// The integer below a decimal number without a sign, and whether it is that
/// integer.
fn decimal(text: &str) -> Option<(i128, bool)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent)?),
        None => (text, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if before.is_empty() && after.is_empty() {
        return None;
    }
    if !before
        .bytes()
        .chain(after.bytes())
        .all(|c| c.is_ascii_digit())
    {
        return None;
    }
    let digits: String = [before, after].concat();
    let significant = digits.trim_start_matches('0');
    let zeros = digits.len() - significant.len();
    if significant.is_empty() {
        return Some((0, true));
    }
    // How many of the significant digits stand before the point.
    let whole = i64::try_from(before.len())
        .ok()?
        .saturating_sub(i64::try_from(zeros).ok()?)
        .saturating_add(exponent);
    if whole > MAX_DIGITS {
        return Some((i128::MAX, true));
    }
    let whole = usize::try_from(whole).unwrap_or(0);
    let (kept, fraction) = significant.split_at(whole.min(significant.len()));
    let padding = std::iter::repeat_n('0', whole - kept.len());
    let is_whole = fraction.bytes().all(|c| c == b'0');
    let magnitude = magnitude_or_zero(kept.chars().chain(padding))?;
    Some((magnitude, is_whole))
}

/// An exponent; one that no number survives stands for all beyond.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let power = i64::try_from(magnitude(digits.chars(), 10)?).unwrap_or(FAR);
    let power = power.min(FAR);
    Some(if text.starts_with('-') { -power } else { power })
}

fn magnitude_or_zero(digits: impl Iterator<Item = char>) -> Option<i128> {
    magnitude(std::iter::once('0').chain(digits), 10)
}

/// One digit or more; the largest integer where there are too many of them.
fn magnitude(digits: impl Iterator<Item = char>, radix: u32) -> Option<i128> {
    let mut sum: Option<i128> = None;
    for digit in digits {
        let digit = i128::from(digit.to_digit(radix)?);
        let raised = sum.unwrap_or(0).saturating_mul(i128::from(radix));
        sum = Some(raised.saturating_add(digit));
    }
    sum
}

/// An `i128` has no more digits.
const MAX_DIGITS: i64 = 39;

/// More than a text of the allowed length has digits.
const FAR: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Option<(i128, bool)> {
        Number::parse(text).map(|number| (number.floor, number.is_whole))
    }

    #[test]
    fn integers_reals_and_hex_are_read() {
        for (text, wanted) in [
            ("0", (0, true)),
            ("-0", (0, true)),
            ("007", (7, true)),
            ("-12", (-12, true)),
            ("+12", (12, true)),
            ("3.5", (3, false)),
            ("-3.5", (-4, false)),
            ("3.0", (3, true)),
            ("-3.", (-3, true)),
            (".5", (0, false)),
            ("-.5", (-1, false)),
            ("1e3", (1_000, true)),
            ("1.25E+1", (12, false)),
            ("1250e-2", (12, false)),
            ("1200e-2", (12, true)),
            ("0.00e5", (0, true)),
            ("0.001e3", (1, true)),
            ("1e-9", (0, false)),
            ("0x1F", (31, true)),
            ("-0Xff", (-255, true)),
            (
                "18446744073709551615.5",
                (18_446_744_073_709_551_615, false),
            ),
        ] {
            assert_eq!(number(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_every_type_stand_at_the_end() {
        let far = "9".repeat(60);
        for text in [
            far.as_str(),
            "1e99999999999999999999",
            "0xfffffffffffffffffffffffffffffffffff",
        ] {
            assert_eq!(number(text), Some((i128::MAX, true)), "{text}");
            let negative = format!("-{text}");
            assert_eq!(number(&negative), Some((-i128::MAX, true)), "{text}");
        }
        assert_eq!(number("1e-99999999999999999999"), Some((0, false)));
        assert_eq!(number("0e99999999999999999999"), Some((0, true)));
    }

    #[test]
    fn other_text_is_no_number() {
        for text in [
            "", "-", "+", ".", "-.", "e5", "1e", "1e+", "0x", "0xg", "1.2.3", "--1", "1 2", "١",
            "inf", "NaN", "1e1e1", "1,5",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn an_integer_is_itself_however_it_is_written(
            value in any::<i64>(),
            zeros in 0..4_usize,
        ) {
            let wanted = Some((i128::from(value), true));
            prop_assert_eq!(number(&value.to_string()), wanted);
            let zeros = "0".repeat(zeros);
            prop_assert_eq!(number(&format!("{value}.{zeros}")), wanted);
            prop_assert_eq!(number(&format!("{value}{zeros}e-{}", zeros.len())), wanted);
        }

        #[test]
        fn arbitrary_text_is_a_number_or_none(text in "[-+0-9a-fxXeE. ]{0,40}") {
            let _ = Number::parse(&text);
        }
    }
}
