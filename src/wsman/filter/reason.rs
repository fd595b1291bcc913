//! Why a filter is refused: what the client reads, and the status that WMI
//! would give.

use super::FilterError;

/// What exactly is wrong with a filter. Characters are counted from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::wsman) enum Reason {
    /// The text goes on in another way than it can.
    #[error("{expected} is expected at character {at}")]
    Unexpected {
        /// Where.
        at: usize,
        /// What could stand there.
        expected: Expected,
    },
    /// The text ends too early.
    #[error("{0} is expected at the end")]
    EndsEarly(Expected),
    /// A quotation mark, bracket or brace has no counterpart.
    #[error("what opens at character {0} is not closed")]
    Unclosed(usize),
    /// A backslash escapes nothing that can be escaped.
    #[error("the backslash at character {0} must stand twice, or before a quotation mark")]
    Escape(usize),
    /// The element of the filter does not hold what its dialect asks for.
    #[error("the filter must hold {0}")]
    Content(Expected),
    /// Something that may be there once is there twice.
    #[error("{0} stands more than once")]
    Twice(String),
    /// A selector has a value that cannot be made a query of.
    #[error("the value of {0} must not contain quotation marks")]
    Quotes(String),
    /// The class has no such property.
    #[error("the class has no property {0}")]
    UnknownProperty(String),
    /// The property is an array or an embedded instance, or the constant is
    /// none of its type.
    #[error("the property {0} cannot be compared in this way")]
    NotComparable(String),
    /// The address of the object is none of an instance.
    #[error("the object is not addressed by the URI of a class: {0}")]
    NotAnObject(String),
    /// The query has a part that only queries for events have.
    #[error("{0} is not a class of events")]
    NotAnEvent(String),
    /// A query for events does not say how often to look for them.
    #[error("WITHIN is required for events of the class {0}")]
    NeedsWithin(String),
    /// `GROUP` says nothing of the time.
    #[error("WITHIN is required after GROUP at character {0}")]
    GroupNeedsWithin(usize),
    /// Right, but more than is offered here.
    #[error("{0} are not supported")]
    NotSupported(Feature),
    /// There is more text than anybody writes.
    #[error("the filter is too long")]
    TooLong,
    /// Parentheses or predicates stand too deep within one another.
    #[error("the filter is nested too deeply")]
    TooDeep,
    /// There are too many comparisons.
    #[error("the filter has too many terms")]
    TooManyTerms,
}

/// What could stand in a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::wsman) enum Expected {
    /// One of these words of the language.
    #[error("{0}")]
    Keyword(&'static str),
    /// Any word of the language.
    #[error("a name, a constant or an operator")]
    Word,
    /// The name of a class.
    #[error("the name of a class")]
    Class,
    /// A name.
    #[error("a name")]
    Name,
    /// The name of a property.
    #[error("the name of a property")]
    Property,
    /// A constant.
    #[error("a constant")]
    Constant,
    /// A text in quotation marks.
    #[error("a text in quotation marks")]
    Quoted,
    /// A number.
    #[error("a number")]
    Number,
    /// An operator.
    #[error("an operator")]
    Operator,
    /// The path of an object in braces.
    #[error("the path of an instance in braces")]
    ObjectPath,
    /// The keys of an instance.
    #[error("a key")]
    Key,
    /// A step of a path.
    #[error("a step of a path")]
    Step,
    /// Nothing more.
    #[error("the end")]
    End,
    /// Text without elements.
    #[error("text")]
    Text,
    /// One element with this name.
    #[error("one element {0}")]
    Element(&'static str),
}

/// What a dialect has, and is not offered here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::wsman) enum Feature {
    /// `WITHIN`, `GROUP`.
    #[error("queries for events")]
    Events,
    /// `meta_class`, `ClassDefsOnly`, `SchemaOnly`.
    #[error("queries for classes")]
    Classes,
    /// `count()` and so on.
    #[error("functions")]
    Functions,
    /// `child::`, `..`, `//`.
    #[error("axes")]
    Axes,
    /// `@name`.
    #[error("attributes")]
    Attributes,
    /// `[1]`.
    #[error("positions")]
    Positions,
    /// `|`.
    #[error("unions")]
    Unions,
    /// `+`, `div` and so on.
    #[error("calculations")]
    Calculations,
    /// `*` for any property.
    #[error("wildcards for properties")]
    Wildcards,
}

impl Reason {
    /// What WMI says of it.
    pub(super) fn status(&self) -> u32 {
        match self {
            Self::Unexpected { .. }
            | Self::EndsEarly(_)
            | Self::Unclosed(_)
            | Self::Escape(_)
            | Self::Content(_)
            | Self::Twice(_)
            | Self::Quotes(_)
            | Self::UnknownProperty(_)
            | Self::NotComparable(_) => INVALID_QUERY,
            Self::NotAnObject(_) => INVALID_OBJECT_PATH,
            Self::NotAnEvent(_) => NOT_EVENT_CLASS,
            Self::NeedsWithin(_) => REGISTRATION_TOO_PRECISE,
            Self::GroupNeedsWithin(_) => MISSING_GROUP_WITHIN,
            Self::NotSupported(_) => NOT_SUPPORTED,
            Self::TooLong | Self::TooDeep | Self::TooManyTerms => QUOTA_VIOLATION,
        }
    }

    /// The text is not of the language.
    pub(super) fn is_syntax(&self) -> bool {
        matches!(
            self,
            Self::Unexpected { .. } | Self::EndsEarly(_) | Self::Unclosed(_) | Self::Escape(_)
        )
    }
}

impl From<Reason> for FilterError {
    fn from(reason: Reason) -> Self {
        Self::Invalid {
            status: reason.status(),
            reason,
        }
    }
}

/// `WBEM_E_UNPARSABLE_QUERY`, which WMI says of queries for events only.
pub(super) const UNPARSABLE_QUERY: u32 = 0x8004_1058;

/// `WBEM_E_NOT_SUPPORTED`.
const NOT_SUPPORTED: u32 = 0x8004_100C;
/// `WBEM_E_INVALID_QUERY`.
const INVALID_QUERY: u32 = 0x8004_1017;
/// `WBEM_E_INVALID_OBJECT_PATH`.
const INVALID_OBJECT_PATH: u32 = 0x8004_103A;
/// `WBEM_E_NOT_EVENT_CLASS`.
const NOT_EVENT_CLASS: u32 = 0x8004_1059;
/// `WBEM_E_MISSING_GROUP_WITHIN`.
const MISSING_GROUP_WITHIN: u32 = 0x8004_105A;
/// `WBEM_E_QUOTA_VIOLATION`, what WMI says of a query over its limits.
const QUOTA_VIOLATION: u32 = 0x8004_106C;
/// `WBEMESS_E_REGISTRATION_TOO_PRECISE`.
const REGISTRATION_TOO_PRECISE: u32 = 0x8004_2002;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_fragment_of_a_sentence_that_tells_where() {
        for (reason, wanted) in [
            (
                Reason::Unexpected {
                    at: 7,
                    expected: Expected::Keyword("FROM"),
                },
                "FROM is expected at character 7",
            ),
            (
                Reason::EndsEarly(Expected::Constant),
                "a constant is expected at the end",
            ),
            (
                Reason::NotSupported(Feature::Events),
                "queries for events are not supported",
            ),
            (
                Reason::Content(Expected::Element("SelectorSet")),
                "the filter must hold one element SelectorSet",
            ),
        ] {
            assert_eq!(FilterError::from(reason).to_string(), wanted);
        }
    }
}
