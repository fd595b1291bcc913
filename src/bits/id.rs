//! Names of jobs and of those who own them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

/// The identity of a job: a GUID, made time-ordered so that jobs lie in the
/// store in the order of their creation.
///
/// Shown as BITS tools show it, `{UPPER-CASE}` in braces; read with or without
/// braces and in any case.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct JobId(Uuid);

impl JobId {
    /// A new identity.
    pub(crate) fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The sixteen octets by which the store orders jobs.
    pub(crate) const fn to_octets(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The identity with these octets.
    pub(crate) const fn from_octets(octets: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(octets))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; uuid::fmt::Braced::LENGTH];
        f.write_str(self.0.braced().encode_upper(&mut text))
    }
}

/// The text is no GUID.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a job identifier")]
pub(crate) struct NotAJobId;

impl FromStr for JobId {
    type Err = NotAJobId;

    fn from_str(text: &str) -> Result<Self, NotAJobId> {
        let text = text.trim();
        let bare = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or(NotAJobId)?,
            None => text,
        };
        // `Uuid` also reads the simple and the URN form, which are no GUIDs.
        if bare.len() != 36 {
            return Err(NotAJobId);
        }
        Uuid::try_parse(bare).map(Self).map_err(|_| NotAJobId)
    }
}

/// The account that a job belongs to, in the spelling of its log-on.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Owner(Arc<str>);

impl Owner {
    /// The owner with this account name.
    pub(crate) fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The account name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_is_read_with_or_without_braces_and_in_any_case() {
        let shown = "{0198A5D2-11B7-7C36-B5D2-0A7C5E1F2B3C}";
        let id: JobId = shown.parse().expect("valid");
        assert_eq!(id.to_string(), shown);
        assert_eq!(
            shown.trim_matches(['{', '}']).to_lowercase().parse(),
            Ok(id)
        );
        assert_eq!(shown.to_lowercase().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_guid_is_refused() {
        for text in [
            "",
            "{}",
            "{0198A5D2-11B7-7C36-B5D2-0A7C5E1F2B3C",
            "0198a5d211b77c36b5d20a7c5e1f2b3c",
            "urn:uuid:0198a5d2-11b7-7c36-b5d2-0a7c5e1f2b3c",
        ] {
            assert_eq!(text.parse::<JobId>(), Err(NotAJobId), "{text}");
        }
    }
}
