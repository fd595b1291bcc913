//! What a filter asks of an instance, whatever language it was written in.
//!
//! The names are the canonical ones of a class: whoever makes a condition has
//! checked them against it, and has checked that literals and properties can
//! be compared. Comparisons follow WQL ([MS-WMI] 2.2.1): text without regard
//! to case, and nothing compares with null.

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
