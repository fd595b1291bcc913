//! What a filter asks of an instance, whatever language it was written in.
//!
//! The names are the canonical ones of a class: whoever makes a condition has
//! checked them against it, and has checked that literals and properties can
//! be compared. Comparisons follow WQL ([MS-WMI] 2.2.1): text without regard
//! to case, and nothing compares with null. There is no third truth: of a null
//! property `x = 1` and `x <> 1` do not hold, and `NOT x = 1` does.

use std::cmp::Ordering;
use std::str::Chars;

use super::Instance;
use super::Value;

/// A condition on the properties of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    /// Holds for every instance, or for none.
    Always(bool),
    /// All hold; all of nothing do.
    And(Vec<Condition>),
    /// One holds; none of nothing does.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// `property operator literal`; does not hold for null.
    Compare {
        /// Canonical name; a scalar that is no embedded instance.
        property: String,
        /// How.
        operator: Comparison,
        /// With what.
        literal: Literal,
    },
    /// `property LIKE pattern`, of a string; does not hold for null.
    Like {
        /// Canonical name.
        property: String,
        /// What it must match.
        pattern: Pattern,
    },
    /// `property IS NULL`.
    IsNull(String),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    /// `=`
    Equal,
    /// `<>`, `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value that stands in a filter, already of the property's kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// For a boolean.
    Boolean(bool),
    /// For a number: every integer of CIM fits.
    Integer(i128),
    /// For text, in any case.
    String(String),
    /// For text, character by character: `XPath` tells case apart.
    Exact(String),
}

/// A pattern of `LIKE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pattern(pub(crate) Vec<Part>);

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    /// This character, in any case.
    One(char),
    /// `_`: any character.
    Any,
    /// `%`: any characters, or none.
    AnyRun,
    /// `[a-f]`, `[^a-f]`: a character of these ranges, ends included, in any
    /// case; or one that is of none.
    OneOf {
        /// `^`
        is_negated: bool,
        /// First and last.
        ranges: Vec<(char, char)>,
    },
}

impl Condition {
    /// Whether it holds for `instance`.
    pub(crate) fn matches(&self, instance: &Instance) -> bool {
        match self {
            Self::Always(holds) => *holds,
            Self::And(parts) => parts.iter().all(|part| part.matches(instance)),
            Self::Or(parts) => parts.iter().any(|part| part.matches(instance)),
            Self::Not(part) => !part.matches(instance),
            Self::Compare {
                property,
                operator,
                literal,
            } => instance
                .value(property)
                .and_then(|value| literal.order(value))
                .is_some_and(|order| operator.holds(order)),
            Self::Like { property, pattern } => match instance.value(property) {
                Some(Value::String(text)) => pattern.matches(text),
                Some(_) | None => false,
            },
            Self::IsNull(property) => instance.value(property).is_none(),
        }
    }
}

impl Comparison {
    /// Every one.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
    ];

    /// Whether it holds for a value that stands in this order to the literal.
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Literal {
    /// How `value` stands to the literal; nothing when they cannot be compared.
    pub(crate) fn order(&self, value: &Value) -> Option<Ordering> {
        match (self, value) {
            (Self::Boolean(literal), Value::Boolean(value)) => Some(value.cmp(literal)),
            (Self::String(literal), Value::String(value)) => {
                let literal = literal.chars().map(fold);
                Some(value.chars().map(fold).cmp(literal))
            }
            (Self::Exact(literal), Value::String(value)) => Some(value.cmp(literal)),
            (Self::Integer(literal), value) => integer(value).map(|value| value.cmp(literal)),
            (Self::Boolean(_) | Self::String(_) | Self::Exact(_), _) => None,
        }
    }
}

impl Pattern {
    /// Parts and ranges: so many steps a character of the text costs at most.
    pub(crate) fn cost(&self) -> usize {
        let of_part = |part: &Part| match part {
            Part::OneOf { ranges, .. } => 1 + ranges.len(),
            Part::One(_) | Part::Any | Part::AnyRun => 1,
        };
        self.0.iter().map(of_part).sum()
    }

    /// Whether all of `text` fits it. Takes at most text × pattern steps, and
    /// no memory.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let parts = &self.0;
        let (mut rest, mut part) = (text.chars(), 0);
        // Where to go on when what follows the last `%` did not fit.
        let mut retry: Option<(Chars<'_>, usize)> = None;
        loop {
            if matches!(parts.get(part), Some(Part::AnyRun)) {
                part += 1;
                if part == parts.len() {
                    return true;
                }
                retry = Some((rest.clone(), part));
                continue;
            }
            match (rest.next(), parts.get(part)) {
                (None, None) => return true,
                (Some(character), Some(wanted)) if wanted.fits(character) => {
                    part += 1;
                    continue;
                }
                // A later start leaves even less of the text.
                (None, Some(_)) => return false,
                (Some(_), _) => {}
            }
            let Some((from, then)) = &mut retry else {
                return false;
            };
            from.next();
            rest = from.clone();
            part = *then;
        }
    }
}

impl Part {
    /// Whether this part takes `character`.
    fn fits(&self, character: char) -> bool {
        match self {
            Self::One(wanted) => fold(*wanted) == fold(character),
            Self::Any => true,
            Self::AnyRun => false,
            Self::OneOf { is_negated, ranges } => {
                let folded = fold(character);
                let cases = [character, folded, upper(folded)];
                let is_one = ranges.iter().any(|(first, last)| {
                    // The ends may be of a case that is none of these three.
                    cases.iter().any(|case| (*first..=*last).contains(case))
                        || fold(*first) == folded
                        || fold(*last) == folded
                });
                is_one != *is_negated
            }
        }
    }
}

/// The character that stands for all cases of this one, as simple case folding
/// has it: one for one, so that `ß` is not `ss`, and wherever it stands, so
/// that all three sigmas are one.
pub(crate) fn fold(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    lower(upper(character))
}

/// The upper case of a character, if that is one character.
fn upper(character: char) -> char {
    // Only in Turkish is the dotless i the small form of I.
    if character == 'ı' {
        return character;
    }
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// The lower case of a character, if that is one character.
fn lower(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// The number that a value holds, if it is one.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Uint8(number) => Some(i128::from(*number)),
        Value::Uint16(number) => Some(i128::from(*number)),
        Value::Uint32(number) => Some(i128::from(*number)),
        Value::Uint64(number) => Some(i128::from(*number)),
        Value::Sint8(number) => Some(i128::from(*number)),
        Value::Sint16(number) => Some(i128::from(*number)),
        Value::Sint32(number) => Some(i128::from(*number)),
        Value::Sint64(number) => Some(i128::from(*number)),
        Value::Boolean(_) | Value::String(_) | Value::Instance(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::cim::Catalog;

    /// A job with these values, and null for the rest.
    fn job(values: &[(&str, Value)]) -> Instance {
        let catalog = Catalog::bundled().expect("the schemas are right");
        let class = catalog
            .class("root/microsoft/bits", "BitsClientJob")
            .expect("the class of jobs");
        let mut job = Instance::new(&Arc::clone(class));
        for (name, value) in values {
            job.set(name, value.clone()).expect("of its type");
        }
        job
    }

    fn text(name: &str) -> Instance {
        job(&[("DisplayName", Value::String(name.to_owned()))])
    }

    fn compare(property: &str, operator: Comparison, literal: Literal) -> Condition {
        Condition::Compare {
            property: property.to_owned(),
            operator,
            literal,
        }
    }

    #[test]
    fn numbers_are_compared_whole_over_the_range_of_every_type() {
        let largest = job(&[("BytesTotal", Value::Uint64(u64::MAX))]);
        let holds = |operator, literal| {
            compare("BytesTotal", operator, Literal::Integer(literal)).matches(&largest)
        };
        let at_end = i128::from(u64::MAX);
        assert!(holds(Comparison::Equal, at_end));
        assert!(!holds(Comparison::Equal, at_end - 1));
        assert!(!holds(Comparison::Equal, -1));
        assert!(holds(Comparison::Less, i128::MAX));
        assert!(holds(Comparison::Greater, i128::MIN));
        for (value, wanted) in [
            (Value::Sint8(-1), -1),
            (Value::Uint8(255), 255),
            (Value::Sint16(i16::MIN), -32_768),
            (Value::Uint16(u16::MAX), 65_535),
            (Value::Sint32(i32::MIN), -2_147_483_648),
            (Value::Uint32(u32::MAX), 4_294_967_295),
            (Value::Sint64(i64::MIN), -9_223_372_036_854_775_808),
        ] {
            assert_eq!(
                Literal::Integer(wanted).order(&value),
                Some(Ordering::Equal)
            );
        }
    }

    #[test]
    fn an_operator_holds_for_its_orders_only() {
        let found: Vec<Vec<bool>> = [Ordering::Less, Ordering::Equal, Ordering::Greater]
            .iter()
            .map(|order| {
                Comparison::ALL
                    .iter()
                    .map(|operator| operator.holds(*order))
                    .collect()
            })
            .collect();
        assert_eq!(
            found,
            [
                [false, true, true, true, false, false],
                [true, false, false, true, false, true],
                [false, true, false, false, true, true],
            ]
        );
    }

    #[test]
    fn nothing_compares_with_null_and_not_turns_that_round() {
        let null = job(&[]);
        for operator in Comparison::ALL {
            let condition = compare("State", operator, Literal::Integer(0));
            assert!(!condition.matches(&null));
            assert!(Condition::Not(Box::new(condition)).matches(&null));
        }
        assert!(
            !Condition::Like {
                property: "DisplayName".to_owned(),
                pattern: Pattern(vec![Part::AnyRun]),
            }
            .matches(&null)
        );
        assert!(Condition::IsNull("State".to_owned()).matches(&null));
        let queued = job(&[("State", Value::Uint16(0))]);
        assert!(!Condition::IsNull("State".to_owned()).matches(&queued));
    }

    #[test]
    fn values_of_another_kind_do_not_compare() {
        let one = Literal::Integer(1);
        for value in [
            Value::Boolean(true),
            Value::String("1".to_owned()),
            Value::Array(vec![Value::Uint8(1)]),
        ] {
            assert_eq!(one.order(&value), None);
        }
        for literal in [
            Literal::Boolean(true),
            Literal::String("1".to_owned()),
            Literal::Exact("1".to_owned()),
        ] {
            assert_eq!(literal.order(&Value::Uint8(1)), None);
        }
    }

    #[test]
    fn booleans_compare_with_false_first() {
        let no = Literal::Boolean(false);
        assert_eq!(no.order(&Value::Boolean(true)), Some(Ordering::Greater));
        assert_eq!(no.order(&Value::Boolean(false)), Some(Ordering::Equal));
    }

    #[test]
    fn text_compares_without_regard_to_case_in_every_script() {
        let order = |value: &str, literal: &str| {
            Literal::String(literal.to_owned()).order(&Value::String(value.to_owned()))
        };
        for (one, other) in [
            ("Backup", "bACKUP"),
            ("ÁÇÃO", "áção"),
            // A sigma at the end of a word is another small letter.
            ("ΟΔΟΣ", "οδος"),
            ("οδοσ", "οδος"),
            ("ЖУК", "жук"),
            ("ẞ", "ß"),
        ] {
            assert_eq!(order(one, other), Some(Ordering::Equal), "{one} {other}");
        }
        assert_eq!(order("straße", "strasse"), Some(Ordering::Greater));
        assert_eq!(order("İ", "i"), Some(Ordering::Greater));
        assert_eq!(order("ı", "I"), Some(Ordering::Greater));
        // As lower-case letters: Z comes after a, and `_` before both.
        assert_eq!(order("Z", "a"), Some(Ordering::Greater));
        assert_eq!(order("_", "A"), Some(Ordering::Less));
        assert_eq!(order("a", "aa"), Some(Ordering::Less));
        assert_eq!(order("", ""), Some(Ordering::Equal));
    }

    #[test]
    fn exact_text_compares_by_case() {
        let name = |literal: &str| {
            compare(
                "DisplayName",
                Comparison::Equal,
                Literal::Exact(literal.to_owned()),
            )
        };
        assert!(name("Backup").matches(&text("Backup")));
        assert!(!name("backup").matches(&text("Backup")));
    }

    #[test]
    fn all_of_nothing_hold_and_one_of_nothing_does_not() {
        let any = text("x");
        assert!(Condition::And(Vec::new()).matches(&any));
        assert!(!Condition::Or(Vec::new()).matches(&any));
        let both = |holds| vec![Condition::Always(true), Condition::Always(holds)];
        assert!(Condition::And(both(true)).matches(&any));
        assert!(!Condition::And(both(false)).matches(&any));
        assert!(Condition::Or(both(false)).matches(&any));
    }

    #[test]
    fn a_part_of_a_pattern_takes_one_character_of_any_script() {
        let like = |parts: &[Part], text: &str| Pattern(parts.to_vec()).matches(text);
        let of = |is_negated, ranges: &[(char, char)]| Part::OneOf {
            is_negated,
            ranges: ranges.to_vec(),
        };
        assert!(like(&[Part::Any], "é"));
        assert!(like(&[Part::Any, Part::One('B')], "🦀b"));
        assert!(!like(&[Part::Any], ""));
        assert!(like(&[Part::One('Σ')], "ς"));
        assert!(like(&[Part::One('İ')], "İ"));
        assert!(like(&[of(false, &[('a', 'f')])], "C"));
        assert!(like(&[of(false, &[('A', 'F')])], "c"));
        assert!(!like(&[of(false, &[('a', 'f')])], "g"));
        assert!(like(&[of(false, &[('ς', 'ς')])], "Σ"));
        assert!(like(&[of(false, &[('0', '9'), ('а', 'я')])], "Ж"));
        assert!(like(&[of(true, &[('a', 'f')])], "g"));
        assert!(!like(&[of(true, &[('a', 'f')])], "B"));
        assert!(!like(&[of(true, &[('a', 'f')])], ""));
    }

    #[test]
    fn a_pattern_takes_all_of_the_text() {
        let prefix = Pattern(vec![Part::One('a'), Part::AnyRun]);
        assert!(prefix.matches("a") && prefix.matches("Abc") && !prefix.matches("ba"));
        let nothing = Pattern(Vec::new());
        assert!(nothing.matches("") && !nothing.matches("a"));
    }

    #[test]
    fn a_pattern_that_nearly_fits_everywhere_is_refused_in_bounded_time() {
        let mut parts = Vec::new();
        for _ in 0..250 {
            parts.extend([Part::AnyRun, Part::One('a'), Part::One('a'), Part::Any]);
        }
        parts.push(Part::One('b'));
        assert!(!Pattern(parts).matches(&"a".repeat(4_000)));
    }

    /// Tries every length for every `%`.
    fn naive(parts: &[Part], text: &[char]) -> bool {
        let Some((first, rest)) = parts.split_first() else {
            return text.is_empty();
        };
        let fits = |wanted: &dyn Fn(char) -> bool| {
            text.first().is_some_and(|c| wanted(*c)) && naive(rest, &text[1..])
        };
        let same = |one: char, other: char| one.to_lowercase().eq(other.to_lowercase());
        match first {
            Part::AnyRun => (0..=text.len()).any(|skipped| naive(rest, &text[skipped..])),
            Part::Any => fits(&|_| true),
            Part::One(wanted) => fits(&|c| same(c, *wanted)),
            Part::OneOf { is_negated, ranges } => fits(&|c| {
                let is_one = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).any(|member| same(c, member)));
                is_one != *is_negated
            }),
        }
    }

    fn letter() -> impl Strategy<Value = char> {
        prop::sample::select(vec!['a', 'b', 'A', 'B', '_', 'é', 'É'])
    }

    fn part() -> impl Strategy<Value = Part> {
        let range = (letter(), letter()).prop_map(|(one, other)| (one.min(other), one.max(other)));
        prop_oneof![
            letter().prop_map(Part::One),
            Just(Part::Any),
            Just(Part::AnyRun),
            (any::<bool>(), prop::collection::vec(range, 1..3))
                .prop_map(|(is_negated, ranges)| Part::OneOf { is_negated, ranges }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_pattern_takes_what_a_search_of_every_way_finds(
            parts in prop::collection::vec(part(), 0..7),
            text in prop::collection::vec(letter(), 0..8),
        ) {
            let pattern = Pattern(parts.clone());
            let whole: String = text.iter().collect();
            prop_assert_eq!(pattern.matches(&whole), naive(&parts, &text));
        }

        #[test]
        fn all_cases_of_a_character_are_one(character in any::<char>()) {
            let folded = fold(character);
            prop_assert_eq!(fold(folded), folded);
            if character != 'ı' {
                prop_assert_eq!(fold(upper(character)), folded);
            }
            prop_assert_eq!(fold(lower(character)), folded);
        }
    }
}
