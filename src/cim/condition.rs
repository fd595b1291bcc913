//! What a filter asks of an instance, whatever language it was written in.
//!
//! The names are the canonical ones of a class: whoever makes a condition has
//! checked them against it, and has checked that literals and properties can
//! be compared. Comparisons follow WQL ([MS-WMI] 2.2.1): text without regard
//! to case, and nothing compares with null.

use std::cmp::Ordering;

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
    /// `property operator literal`.
    Compare {
        /// Canonical name; a scalar that is no embedded instance.
        property: String,
        /// How.
        operator: Comparison,
        /// With what.
        literal: Literal,
    },
    /// `property LIKE pattern`, of a string.
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
    /// For a number, when it is not a whole one.
    Real(f64),
    /// For text.
    String(String),
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
            (Self::String(literal), Value::String(value)) => Some(order_of_text(value, literal)),
            (Self::Integer(literal), value) => integer(value).map(|value| value.cmp(literal)),
            // A number of 64 bits loses its last digits here, and only here: a
            // literal with a fraction equals none of them anyway.
            (Self::Real(literal), value) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "see above")]
                integer(value).and_then(|value| (value as f64).partial_cmp(literal))
            }
            (Self::Boolean(_) | Self::String(_), _) => None,
        }
    }
}

impl Pattern {
    /// Whether all of `text` fits it. Takes at most text × pattern steps, and
    /// no more memory than the two.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
        let parts = &self.0;
        let (mut at, mut part) = (0, 0);
        // Where to go on when what follows the last `%` did not fit.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            if parts.get(part) == Some(&Part::AnyRun) {
                retry = Some((at, part + 1));
                part += 1;
                continue;
            }
            match (text.get(at), parts.get(part)) {
                (None, None) => return true,
                (Some(character), Some(wanted)) if wanted.fits(*character) => {
                    at += 1;
                    part += 1;
                    continue;
                }
                (None, Some(_)) => return false,
                (Some(_), _) => {}
            }
            let Some((from, then)) = retry else {
                return false;
            };
            retry = Some((from + 1, then));
            (at, part) = (from + 1, then);
        }
    }
}

impl Part {
    /// Whether this part takes `character`, which is in lower case.
    fn fits(&self, character: char) -> bool {
        match self {
            Self::One(wanted) => *wanted == character || is_lower_case_of(character, *wanted),
            Self::Any => true,
            Self::AnyRun => false,
            Self::OneOf { is_negated, ranges } => {
                let upper = character.to_uppercase().next().unwrap_or(character);
                let is_one = ranges.iter().any(|(first, last)| {
                    (*first..=*last).contains(&character) || (*first..=*last).contains(&upper)
                });
                is_one != *is_negated
            }
        }
    }
}

/// Text is compared character by character, in lower case.
fn order_of_text(one: &str, other: &str) -> Ordering {
    let lower = |text: &'_ str| text.to_lowercase();
    if one.is_ascii() && other.is_ascii() {
        let one = one.bytes().map(|octet| octet.to_ascii_lowercase());
        let other = other.bytes().map(|octet| octet.to_ascii_lowercase());
        return one.cmp(other);
    }
    lower(one).cmp(&lower(other))
}

fn is_lower_case_of(lower: char, of: char) -> bool {
    let mut folded = of.to_lowercase();
    folded.next() == Some(lower) && folded.next().is_none()
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
