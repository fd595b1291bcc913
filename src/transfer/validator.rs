//! Tells one version of a remote file from another (RFC 9110 8.8, 13.1.5).
//! Pure.

use std::time::Duration;

use crate::bits::Validator;

impl Validator {
    /// What the headers of an answer say about the version.
    pub(super) fn read(
        etag: Option<&str>,
        last_modified: Option<&str>,
        date: Option<&str>,
    ) -> Self {
        // What is kept of a server has a limit; nobody tells versions apart by more.
        let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > MAX_VALUE);
        if is_long(etag) || is_long(last_modified) {
            return Self::default();
        }
        let parsed =
            |text: Option<&str>| text.and_then(|text| httpdate::parse_http_date(text).ok());
        let age = parsed(date)
            .zip(parsed(last_modified))
            .and_then(|(date, modified)| date.duration_since(modified).ok());
        Self {
            etag: etag.map(str::to_owned),
            last_modified: last_modified.map(str::to_owned),
            last_modified_is_strong: age.is_some_and(|age| age >= Duration::from_secs(1)),
        }
    }

    /// The same, but it names no version: only the time of the file is left.
    pub(super) fn without_version(self) -> Self {
        Self {
            etag: None,
            last_modified: self.last_modified,
            last_modified_is_strong: false,
        }
    }

    /// What goes into `If-Range`: a strong `ETag`, else a strong
    /// `Last-Modified`, else the file cannot be resumed.
    pub(super) fn if_range(&self) -> Option<&str> {
        if let Some(etag) = self.strong_etag() {
            return Some(etag);
        }
        // A weak tag says that the server tells versions apart more coarsely
        // than by octet: its date is then no better.
        if self.etag.is_some() || !self.last_modified_is_strong {
            return None;
        }
        self.last_modified.as_deref()
    }

    /// Is `other` octet for octet the same version? Only what can be proved is.
    pub(super) fn is_same_version(&self, other: &Self) -> bool {
        if let Some(etag) = self.strong_etag() {
            let dates_differ = self
                .last_modified
                .as_deref()
                .zip(other.last_modified.as_deref())
                .is_some_and(|(own, other)| own != other);
            return other.strong_etag() == Some(etag) && !dates_differ;
        }
        self.if_range().is_some()
            && other.etag.is_none()
            && self.last_modified == other.last_modified
    }

    fn strong_etag(&self) -> Option<&str> {
        self.etag
            .as_deref()
            .filter(|etag| etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"'))
    }

    /// A number that differs between versions, for the record of what was
    /// written (FNV-1a).
    pub(super) fn mark(&self, size: Option<u64>) -> u64 {
        let mut hash = Fnv::default();
        for text in [&self.etag, &self.last_modified] {
            hash.add(text.as_deref().unwrap_or("-").as_bytes());
            hash.add(&[0xFF]);
        }
        hash.add(&size.unwrap_or(u64::MAX).to_le_bytes());
        hash.finish()
    }
}

/// The hash FNV-1a, 64 bits: finds accidents, no malice.
pub(super) struct Fnv(u64);

impl Fnv {
    /// Takes octets in.
    pub(super) fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    /// The hash.
    pub(super) fn finish(&self) -> u64 {
        self.0
    }
}

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

/// Octets of a header that is kept with a file.
const MAX_VALUE: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn a_strong_tag_goes_before_a_strong_date() {
        let both = Validator::read(Some("\"a\""), Some(OLD), Some(LATER));
        assert_eq!(both.if_range(), Some("\"a\""));
        assert_eq!(
            Validator::read(None, Some(OLD), Some(LATER)).if_range(),
            Some(OLD)
        );
    }

    #[test]
    fn weak_validators_do_not_resume() {
        for (etag, modified, date) in [
            (None, None, None),
            (Some("W/\"a\""), None, None),
            (Some("W/\"a\""), Some(OLD), Some(LATER)),
            (Some("a"), None, None),
            (Some("\""), None, None),
            (None, Some(OLD), Some(OLD)),
            (None, Some(LATER), Some(OLD)),
            (None, Some(OLD), None),
            (None, Some("yesterday"), Some(LATER)),
        ] {
            assert_eq!(
                Validator::read(etag, modified, date).if_range(),
                None,
                "{etag:?}"
            );
        }
    }

    #[test]
    fn only_a_proved_version_is_the_same() {
        let tagged = Validator::read(Some("\"a\""), Some(OLD), Some(LATER));
        assert!(tagged.is_same_version(&tagged));
        assert!(tagged.is_same_version(&Validator::read(Some("\"a\""), None, None)));
        for other in [
            Validator::read(Some("\"b\""), Some(OLD), Some(LATER)),
            Validator::read(Some("W/\"a\""), Some(OLD), Some(LATER)),
            Validator::read(None, Some(OLD), Some(LATER)),
            Validator::read(Some("\"a\""), Some(LATER), None),
            Validator::default(),
        ] {
            assert!(!tagged.is_same_version(&other), "{other:?}");
        }
        let dated = Validator::read(None, Some(OLD), Some(LATER));
        assert!(dated.is_same_version(&Validator::read(None, Some(OLD), None)));
        assert!(!dated.is_same_version(&Validator::read(None, None, None)));
        assert!(!dated.is_same_version(&tagged));
        assert!(!Validator::default().is_same_version(&Validator::default()));
    }

    #[test]
    fn without_a_version_only_the_time_is_left() {
        let bare = Validator::read(Some("\"a\""), Some(OLD), Some(LATER)).without_version();
        assert_eq!(bare.if_range(), None);
        assert_eq!(bare.last_modified.as_deref(), Some(OLD));
    }

    proptest! {
        #[test]
        fn any_headers_are_read(etag in proptest::option::of(".*"), modified in proptest::option::of(".*"), date in proptest::option::of(".*")) {
            let validator = Validator::read(etag.as_deref(), modified.as_deref(), date.as_deref());
            if validator.if_range().is_none() {
                prop_assert!(!validator.is_same_version(&validator));
            }
        }
    }

    #[test]
    fn a_version_without_end_is_none() {
        let long = format!("\"{}\"", "x".repeat(MAX_VALUE));
        let date = Some("Thu, 01 Jan 1970 00:00:00 GMT");
        let read = Validator::read(Some(&long), date, None);
        assert_eq!(read, Validator::default());
        assert_eq!(Validator::read(None, Some(&long), None), read);
        let fits = format!("\"{}\"", "x".repeat(MAX_VALUE - 2));
        let read = Validator::read(Some(&fits), date, None);
        assert_eq!(read.if_range(), Some(fits.as_str()));
    }
}
