//! Why a certificate is not taken for a server's.

use std::fmt;

use super::Thumbprint;

/// A certificate that a server showed, and all that is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refused {
    /// The SHA-256 of the certificate.
    pub(crate) shown: Thumbprint,
    /// What is wrong, at least one thing.
    pub(crate) wrong: Vec<Wrong>,
}

/// Something that is wrong with a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wrong {
    /// Other certificates are pinned, and nothing else counts.
    OtherPinned,
    /// No authority that is trusted vouches for it.
    Authority(String),
    /// It is for other names than this one.
    Name(String),
    /// It, or one that it hangs from, is not valid yet or no more.
    Date(String),
    /// It, or one that it hangs from, is not for servers.
    Usage,
    /// Its issuer has revoked it, or one that it hangs from.
    Revoked,
    /// Whether it is revoked cannot be told.
    Revocation(String),
    /// It cannot be read.
    Unreadable(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate (SHA-256 {}) ", self.shown)?;
        for (at, wrong) in self.wrong.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{wrong}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherPinned => f.write_str("is not the one that is pinned"),
            Self::Authority(why) => {
                write!(f, "comes from no authority that is trusted ({why})")
            }
            Self::Name(name) => write!(f, "is not for the name {name}"),
            Self::Date(why) => write!(f, "is not valid now ({why})"),
            Self::Usage => f.write_str("is not for servers"),
            Self::Revoked => f.write_str("is revoked"),
            Self::Revocation(why) => write!(f, "may be revoked ({why})"),
            Self::Unreadable(why) => write!(f, "cannot be read ({why})"),
        }
    }
}
