//! Which account a client certificate stands for ([MS-WSMV] 3.1.4.1.35).
//!
//! A mapping counts when it is enabled, names the issuer of the certificate or
//! the certificate itself, its subject pattern meets a name in the certificate
//! and its URI pattern the resource. Of several the one with the longest subject
//! counts, then the one with the longest URI; two that are equally long deny,
//! and so does none. Lengths are those of the patterns without their `*`.
//! Letters are compared without case if they are ASCII: beyond it, different
//! letters have the same lower case.

use super::holder::Holder;

use crate::config::CertificateMapping;
use crate::trust::Thumbprint;

/// A mapping that fits a certificate, for some resources.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Candidate<T> {
    /// Length of subject, and of URI.
    rank: (usize, usize),
    uri: Pattern,
    /// Who it stands for.
    pub(super) user: T,
}

/// The beginning of a text, or all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Pattern {
    text: String,
    is_open: bool,
}

/// The mappings that fit `holder`, the weightiest first.
pub(super) fn candidates(
    mappings: &[CertificateMapping],
    holder: &Holder,
) -> Vec<Candidate<String>> {
    let fitting = in_force(mappings)
        .filter(|(_, named)| holder.is_issued_by(*named) || holder.is_named_by(*named))
        .filter(|(mapping, _)| meets(&mapping.subject, holder.names()))
        .map(|(mapping, _)| Candidate::new(&mapping.subject, &mapping.uri, mapping.user.clone()));
    by_weight(fitting)
}

/// Holds when a mapping names the certificate of `holder` itself.
pub(super) fn is_named(mappings: &[CertificateMapping], holder: &Holder) -> bool {
    in_force(mappings).any(|(_, named)| holder.is_named_by(named))
}

/// Holds when every mapping names one of these certificates, of authorities:
/// nobody is trusted for his own certificate then.
pub(crate) fn name_only<'a>(
    mappings: &[CertificateMapping],
    authorities: impl Iterator<Item = &'a [u8]>,
) -> bool {
    let authorities: Vec<_> = authorities.map(Thumbprint::sha1_of).collect();
    in_force(mappings).all(|(_, named)| authorities.contains(&named))
}

/// The mappings that count, with the certificate that each names.
fn in_force(
    mappings: &[CertificateMapping],
) -> impl Iterator<Item = (&CertificateMapping, Thumbprint)> {
    let enabled = mappings.iter().filter(|mapping| mapping.enabled);
    enabled.filter_map(|mapping| Some((mapping, Thumbprint::parse(&mapping.issuer)?)))
}

/// Candidates, the weightiest first.
pub(super) fn by_weight<T>(candidates: impl Iterator<Item = Candidate<T>>) -> Vec<Candidate<T>> {
    let mut sorted: Vec<_> = candidates.collect();
    sorted.sort_by_key(|candidate| std::cmp::Reverse(candidate.rank));
    sorted
}

/// The one of `candidates` (the weightiest first) that counts for a resource.
pub(super) fn choose<'c, T>(
    candidates: &'c [Candidate<T>],
    resource_uri: &str,
) -> Option<&'c Candidate<T>> {
    let mut fitting = candidates
        .iter()
        .filter(|candidate| candidate.uri.is_met_by(resource_uri));
    let first = fitting.next()?;
    let is_tied = fitting.next().is_some_and(|next| next.rank == first.rank);
    (!is_tied).then_some(first)
}

impl<T> Candidate<T> {
    /// `user` by the patterns of a mapping.
    pub(super) fn new(subject: &str, uri: &str, user: T) -> Self {
        let subject = subject.strip_prefix('*').unwrap_or(subject);
        let open = uri.strip_suffix('*');
        let text = open.unwrap_or(uri).to_owned();
        Self {
            rank: (subject.len(), text.len()),
            uri: Pattern {
                text,
                is_open: open.is_some(),
            },
            user,
        }
    }

    /// Resources that stand for all that it fits and no longer pattern does:
    /// its own text, and for an open one something longer, by a character that
    /// no other pattern goes on with.
    pub(super) fn resources(&self) -> impl Iterator<Item = String> {
        let longer = self.uri.is_open.then(|| format!("{}\0", self.uri.text));
        std::iter::once(self.uri.text.clone()).chain(longer)
    }

    /// The same for somebody else.
    pub(super) fn with<U>(self, user: impl FnOnce(T) -> U) -> Candidate<U> {
        Candidate {
            rank: self.rank,
            uri: self.uri,
            user: user(self.user),
        }
    }
}

impl Pattern {
    fn is_met_by(&self, text: &str) -> bool {
        let (text, own) = (text.as_bytes(), self.text.as_bytes());
        match text.get(..own.len()) {
            Some(start) => {
                start.eq_ignore_ascii_case(own) && (self.is_open || text.len() == own.len())
            }
            None => false,
        }
    }
}

/// Holds when one of `names` is what `pattern` says, or ends so after `*`.
fn meets(pattern: &str, names: &[String]) -> bool {
    names.iter().any(|name| match pattern.strip_prefix('*') {
        Some(end) => {
            let start = name.len().checked_sub(end.len());
            start
                .and_then(|start| name.as_bytes().get(start..))
                .is_some_and(|own| own.eq_ignore_ascii_case(end.as_bytes()))
        }
        None => name.eq_ignore_ascii_case(pattern),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::client_trust::Unverified;
    use super::super::holder::Standing;
    use super::super::holder::tests::der;
    use super::super::holder::tests::holder;
    use super::*;

    /// SHA-1 of `abc`.
    const ISSUER: &str = "A9 99 3e364706816aba3e25717850c26c9cd0d89d";

    fn mapping(subject: &str, uri: &str, user: &str) -> CertificateMapping {
        CertificateMapping {
            issuer: ISSUER.to_owned(),
            subject: subject.to_owned(),
            uri: uri.to_owned(),
            user: user.to_owned(),
            enabled: true,
        }
    }

    /// Whom the certificate of `name` stands for at `uri`.
    fn user(mappings: &[CertificateMapping], name: &str, uri: &str) -> Option<String> {
        let candidates = candidates(mappings, &holder(name, b"abc"));
        choose(&candidates, uri).map(|candidate| candidate.user.clone())
    }

    #[test]
    fn issuer_subject_and_uri_must_all_fit() {
        let one = |subject, uri| vec![mapping(subject, uri, "alice")];
        let alice = Some("alice".to_owned());
        for (subject, uri) in [
            ("*", "*"),
            ("A@B.org", "*"),
            ("*@b.ORG", "http://x/*"),
            ("*a@b.org", "HTTP://X/y"),
        ] {
            let found = user(&one(subject, uri), "a@b.org", "http://x/y");
            assert_eq!(found, alice, "{subject} {uri}");
        }
        for (subject, uri) in [
            ("a@b.or", "*"),
            ("*xa@b.org", "*"),
            ("*b", "*"),
            ("*", "http://x"),
            ("*", "http://x/y/*"),
            ("*", "http://x/yz"),
        ] {
            let found = user(&one(subject, uri), "a@b.org", "http://x/y");
            assert_eq!(found, None, "{subject} {uri}");
        }
        let mut off = one("*", "*");
        off[0].enabled = false;
        assert_eq!(user(&off, "a@b.org", ""), None);
        let mut other = one("*", "*");
        other[0].issuer = other[0].issuer.replace('9', "8");
        assert_eq!(user(&other, "a@b.org", ""), None);
        assert_eq!(user(&one("*", "*"), "a@b.org", ""), alice);
        assert_eq!(user(&[], "a@b.org", ""), None);
    }

    #[test]
    fn a_letter_beyond_ascii_is_no_other_letter() {
        // The Kelvin sign, whose lower case is `k`.
        assert_eq!(user(&[mapping("kim", "*", "kim")], "\u{212a}im", ""), None);
        let own = [mapping("*ä", "*", "x")];
        assert_eq!(user(&own, "ä", ""), Some("x".to_owned()));
        assert_eq!(user(&own, "\u{c4}", ""), None);
    }

    #[test]
    fn the_longest_subject_counts_then_the_longest_uri() {
        let mappings = [
            mapping("*", "*", "all"),
            mapping("*.org", "*", "org"),
            mapping("*.org", "http://x/*", "org at x"),
            mapping("*b.org", "http://y/*", "b at y"),
        ];
        for (uri, expected) in [
            ("http://y/1", "b at y"),
            ("http://x/1", "org at x"),
            ("", "org"),
        ] {
            let found = user(&mappings, "a@b.org", uri);
            assert_eq!(found.as_deref(), Some(expected), "{uri}");
        }
        assert_eq!(user(&mappings, "other", "").as_deref(), Some("all"));
    }

    #[test]
    fn equally_long_mappings_deny() {
        let mappings = [
            mapping("bob", "*", "bob"),
            mapping("*bob", "*", "bob"),
            mapping("*", "*", "all"),
        ];
        assert_eq!(user(&mappings, "bob", "http://x"), None);
        assert_eq!(user(&mappings, "a bob", "http://x").as_deref(), Some("bob"));
    }

    #[test]
    fn a_certificate_is_mapped_by_its_own_thumbprint_too() {
        let own = der("bob", |_| {});
        let sha1 = Thumbprint::sha1_of(&own).to_string();
        let sha256 = Thumbprint::sha256_of(&own).to_string();
        let issued = Standing::Issued(vec![Thumbprint::sha1_of(b"abc")]);
        let alone = Standing::Alone(Unverified::TooLong);
        let by = |issuer: &str, subject: &str, user: &str| CertificateMapping {
            issuer: issuer.to_owned(),
            ..mapping(subject, "*", user)
        };
        for (standing, mappings, expected) in [
            (&alone, vec![by(&sha1, "*", "sha1")], Some("sha1")),
            (&alone, vec![by(&sha256, "bob", "sha256")], Some("sha256")),
            (&alone, vec![by(&sha256, "alice", "sha256")], None),
            (&alone, vec![by(ISSUER, "*", "issuer")], None),
            (&issued, vec![by(&sha1, "*", "sha1")], Some("sha1")),
            (
                &issued,
                vec![by(&sha256, "*", "own"), by(ISSUER, "bob", "issuer")],
                Some("issuer"),
            ),
            (
                &issued,
                vec![by(&sha256, "*", "own"), by(ISSUER, "*", "issuer")],
                None,
            ),
        ] {
            let holder = Holder::read(&own, standing.clone()).expect("X.509");
            let found = candidates(&mappings, &holder);
            let found = choose(&found, "").map(|candidate| candidate.user.as_str());
            assert_eq!(found, expected, "{mappings:?}");
            let is_pinned = mappings.iter().any(|one| one.issuer != ISSUER);
            assert_eq!(is_named(&mappings, &holder), is_pinned);
            let mut off = mappings;
            for mapping in &mut off {
                mapping.enabled = false;
            }
            assert!(!is_named(&off, &holder) && candidates(&off, &holder).is_empty());
        }
    }

    #[test]
    fn a_thumbprint_that_is_no_authority_s_may_be_a_client_s() {
        let authority = || std::iter::once(b"abc".as_slice());
        let of_authority = mapping("*", "*", "alice");
        let mut own = mapping("*", "*", "bob");
        own.issuer = "0".repeat(64);
        assert!(name_only(std::slice::from_ref(&of_authority), authority()));
        assert!(!name_only(
            &[of_authority.clone(), own.clone()],
            authority()
        ));
        assert!(!name_only(&[of_authority], std::iter::empty()));
        own.enabled = false;
        assert!(name_only(&[own], std::iter::empty()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn arbitrary_patterns_and_texts_are_compared(
            subject in ".*", uri in ".*", name in ".*", resource in ".*",
        ) {
            let pattern = Pattern { text: uri, is_open: true };
            let _ = pattern.is_met_by(&resource);
            let joined = format!("{}{resource}", pattern.text);
            prop_assert!(pattern.is_met_by(&joined));
            let ending = format!("{name}{subject}");
            let pattern = format!("*{subject}");
            prop_assert!(meets(&pattern, &[ending]));
            let _ = meets(&subject, &[name]);
        }
    }
}
