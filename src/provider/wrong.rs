//! What is wrong with a value that a client gave: typed, so that it can be told
//! in every language.

use std::fmt;

/// A value that does not fit, as its name and what is wrong with it. Shows as
/// `Type 7 is not among 0 (Download), 1 (Upload)`, never with a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BadValue {
    /// The parameter or property.
    pub(crate) name: String,
    /// What is wrong.
    pub(crate) wrong: Wrong,
}

/// What is wrong with a value. Names of values are words of the specification,
/// the same in every language.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    /// It must be given.
    Missing,
    /// It may not be null.
    Null,
    /// It is of another type.
    Type,
    /// It may not be empty.
    Empty,
    /// It has more characters than this.
    TooLong(usize),
    /// The number has none of the meanings listed.
    NotAmong {
        /// What the client gave.
        value: u32,
        /// `0 (Download), 1 (Upload)`
        allowed: &'static str,
    },
    /// The number means something that this service does not do.
    NotInForce(&'static str),
    /// It goes with another value only.
    OnlyWith(&'static str),
    /// It has a character that cannot be sent.
    Character,
    /// It is no SHA-1 hash of 20 octets.
    NotHash,
    /// It does not name a certificate store.
    NotStore,
    /// It is no SHA-256 hash in hexadecimal digits.
    NotSha256,
    /// It does not name parts of a file.
    NotRanges,
    /// It has a line that is no header, or one that the service sets itself.
    NotHeaders,
    /// It cannot be set to this.
    NotSettable,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.wrong {
            Wrong::Missing => write!(f, "{name} is missing"),
            Wrong::Null => write!(f, "{name} may not be null"),
            Wrong::Type => write!(f, "{name} has the wrong type"),
            Wrong::Empty => write!(f, "{name} is empty"),
            Wrong::TooLong(most) => write!(f, "{name} is longer than {most} characters"),
            Wrong::NotAmong { value, allowed } => {
                write!(f, "{name} {value} is not among {allowed}")
            }
            Wrong::NotInForce(value) => write!(f, "{name} {value} is not in force"),
            Wrong::OnlyWith(other) => write!(f, "{name} goes with {other} only"),
            Wrong::Character => write!(f, "{name} has a character that cannot be sent"),
            Wrong::NotHash => write!(f, "{name} must be the 20 octets of a SHA-1 hash"),
            Wrong::NotStore => write!(f, "{name} is not the name of a certificate store"),
            Wrong::NotSha256 => write!(f, "{name} must be 64 hexadecimal digits"),
            Wrong::NotRanges => write!(f, "{name} must be offset:length, separated by commas"),
            Wrong::NotHeaders => write!(f, "{name} has a line that cannot be sent as a header"),
            Wrong::NotSettable => write!(f, "{name} cannot be set to this"),
        }
    }
}
