//! A filter as it was written: names and constants that no class has been
//! asked about yet.

use crate::cim::Comparison;
use crate::cim::Pattern;

use super::number::Number;
use super::reason::Reason;

/// What must hold, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// All hold.
    And(Vec<Expression>),
    /// One holds.
    Or(Vec<Expression>),
    /// It does not hold.
    Not(Box<Expression>),
    /// `path operator constant`.
    Compare {
        /// The left side.
        path: Path,
        /// How.
        operator: Comparison,
        /// The right side.
        constant: Constant,
    },
    /// `path LIKE pattern`, `path NOT LIKE pattern`.
    Like {
        /// The left side.
        path: Path,
        /// `NOT` stands before `LIKE`.
        is_negated: bool,
        /// The right side.
        pattern: Pattern,
    },
    /// `path IS NULL`.
    IsNull(Path),
    /// `path ISA 'class'`.
    Isa {
        /// The left side.
        path: Path,
        /// The right side.
        class: String,
    },
}

/// Where a value lies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    /// What the first name is below.
    pub(super) start: Start,
    /// From there, each below the one before.
    pub(super) names: Vec<String>,
}

/// What the first name of a path is below.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Start {
    /// The instance: the first name is a property.
    Instance,
    /// The instance, or what holds it: the first name is a property or the
    /// class.
    Either,
    /// What holds the instance: the first name is the class.
    Document,
}

/// A constant as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    /// Between quotation marks, escapes resolved.
    Text(String),
    /// Without quotation marks.
    Number {
        /// As written.
        text: String,
        /// What it is.
        number: Number,
    },
    /// `TRUE`, `FALSE`.
    Boolean(bool),
}

/// Counts what makes a filter expensive.
#[derive(Debug, Default)]
pub(super) struct Budget {
    depth: usize,
    terms: usize,
    patterns: usize,
}

impl Expression {
    /// All of `parts`; itself where there is one.
    pub(super) fn all(parts: Vec<Self>) -> Self {
        one_or(parts, Self::And)
    }

    /// One of `parts`; itself where there is one.
    pub(super) fn any(parts: Vec<Self>) -> Self {
        one_or(parts, Self::Or)
    }

    /// Turns it round.
    pub(super) fn negated(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl Path {
    /// A property of the instance; below it, those that dots lead to.
    pub(super) fn of_instance(name: &str) -> Self {
        Self {
            start: Start::Instance,
            names: name.split('.').map(str::to_owned).collect(),
        }
    }
}

impl Budget {
    /// A parenthesis opens.
    ///
    /// # Errors
    ///
    /// [`Reason::TooDeep`].
    pub(super) fn enter(&mut self) -> Result<(), Reason> {
        if self.depth == MAX_DEPTH {
            return Err(Reason::TooDeep);
        }
        self.depth += 1;
        Ok(())
    }

    /// It closes.
    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// One more comparison.
    ///
    /// # Errors
    ///
    /// [`Reason::TooManyTerms`].
    pub(super) fn term(&mut self) -> Result<(), Reason> {
        if self.terms == MAX_TERMS {
            return Err(Reason::TooManyTerms);
        }
        self.terms += 1;
        Ok(())
    }

    /// One more pattern.
    ///
    /// # Errors
    ///
    /// [`Reason::TooLong`].
    pub(super) fn pattern(&mut self, pattern: &Pattern) -> Result<(), Reason> {
        self.patterns += pattern.cost();
        if self.patterns > MAX_PATTERNS {
            return Err(Reason::TooLong);
        }
        Ok(())
    }
}

fn one_or(
    mut parts: Vec<Expression>,
    many: impl FnOnce(Vec<Expression>) -> Expression,
) -> Expression {
    match (parts.pop(), parts.is_empty()) {
        (Some(only), true) => only,
        (Some(last), false) => {
            parts.push(last);
            many(parts)
        }
        (None, _) => many(parts),
    }
}

/// The operator with its sides exchanged.
pub(super) fn mirrored(operator: Comparison) -> Comparison {
    match operator {
        Comparison::Equal => Comparison::Equal,
        Comparison::NotEqual => Comparison::NotEqual,
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
    }
}

/// Parentheses within one another: people need three or four, and each costs
/// some frames of the stack.
const MAX_DEPTH: usize = 32;

/// Comparisons of one filter: a script that lists keys one by one has some.
const MAX_TERMS: usize = 256;

/// What all patterns of a filter cost together: so many steps for each
/// character of the texts that they are held against, in each instance.
const MAX_PATTERNS: usize = 2_048;
