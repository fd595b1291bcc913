//! Who holds a client certificate, by what it says of itself.

use std::time::Duration;
use std::time::SystemTime;

use x509_parser::asn1_rs::Any;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::time::ASN1Time;

use super::client_trust::Unverified;
use crate::trust::Thumbprint;

/// What a certificate says of its holder, and why it may be believed. Whoever
/// makes one has proof that the peer has the key of the certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Holder {
    names: Vec<String>,
    /// SHA-1 and SHA-256.
    thumbprints: [Thumbprint; 2],
    standing: Standing,
    not_before: SystemTime,
    not_after: SystemTime,
    is_for_clients: bool,
}

/// Why a certificate may be believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// An authority vouches for it. These have signed it: an authority can have
    /// several certificates for one key.
    Issued(Vec<Thumbprint>),
    /// None does, and this is why; it counts where a mapping names its own
    /// thumbprint.
    Alone(Unverified),
}

impl Holder {
    /// Reads the certificate `own`, which is DER. Nothing if it is no X.509.
    pub(super) fn read(own: &[u8], standing: Standing) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(own).ok()?;
        let validity = parsed.validity();
        let usage = parsed.extended_key_usage().ok()?;
        Some(Self {
            names: names(&parsed),
            thumbprints: [Thumbprint::sha1_of(own), Thumbprint::sha256_of(own)],
            standing,
            not_before: instant(validity.not_before)?,
            not_after: instant(validity.not_after)?,
            is_for_clients: usage.is_none_or(|usage| usage.value.client_auth),
        })
    }

    /// Common names, DNS names, e-mail addresses and user principal names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Its certificate, as Windows names it.
    pub(super) fn thumbprint(&self) -> Thumbprint {
        self.thumbprints[0]
    }

    /// Why it may be believed.
    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Holds for a thumbprint of the certificate itself.
    pub(super) fn is_named_by(&self, thumbprint: Thumbprint) -> bool {
        self.thumbprints.contains(&thumbprint)
    }

    /// Holds for a thumbprint of a certificate that has signed it.
    pub(super) fn is_issued_by(&self, thumbprint: Thumbprint) -> bool {
        match &self.standing {
            Standing::Issued(issuers) => issuers.contains(&thumbprint),
            Standing::Alone(_) => false,
        }
    }

    /// The last instant at which the certificate is valid, and all that vouch
    /// for it.
    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The same holder, who must be judged again after `end`: one of those who
    /// vouch for him is valid no longer.
    pub(super) fn until(self, end: Option<SystemTime>) -> Self {
        let not_after = end.map_or(self.not_after, |end| end.min(self.not_after));
        Self { not_after, ..self }
    }

    /// Holds when the certificate is within its dates at `now`, and for clients
    /// (RFC 5280 4.2.1.12) or for any use.
    pub(super) fn is_usable(&self, now: SystemTime) -> bool {
        self.is_for_clients && self.not_before <= now && now <= self.not_after
    }
}

/// The last instant at which a certificate (DER) is valid; none when it cannot
/// be parsed.
pub(crate) fn ends_at(certificate: &[u8]) -> Option<SystemTime> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    instant(parsed.validity().not_after)
}

/// A time of a certificate; one before 1970 is that of 1970.
fn instant(time: ASN1Time) -> Option<SystemTime> {
    let since = Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// The names of the holder. What no person would write as a name is left out:
/// it must not meet a pattern.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let common = certificate.subject().iter_common_name();
    let common = common.filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some(*name),
            GeneralName::OtherName(kind, value) if *kind == USER_PRINCIPAL_NAME => {
                principal_name(value)
            }
            _ => None,
        });
    common
        .chain(alternative)
        .filter(|name| !name.is_empty() && name.len() <= MAX_NAME)
        .filter(|name| !name.chars().any(char::is_control))
        .map(str::to_owned)
        .take(MAX_NAMES)
        .collect()
}

/// The text of a user principal name: `[0] EXPLICIT UTF8String`.
fn principal_name(value: &[u8]) -> Option<&str> {
    let (rest, outer) = Any::from_der(value).ok()?;
    let (more, inner) = Any::from_der(outer.data).ok()?;
    let is_name = outer.header.is_contextspecific()
        && outer.tag().0 == 0
        && inner.header.is_universal()
        && inner.tag() == x509_parser::asn1_rs::Tag::Utf8String;
    if !is_name || !rest.is_empty() || !more.is_empty() {
        return None;
    }
    std::str::from_utf8(inner.data).ok()
}

/// `szOID_NT_PRINCIPAL_NAME`.
const USER_PRINCIPAL_NAME: x509_parser::oid_registry::Oid<'static> = oid!(1.3.6.1.4.1.311.20.2.3);

/// Octets of a name.
const MAX_NAME: usize = 1_024;

/// Names of one certificate.
const MAX_NAMES: usize = 64;

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use rcgen::CertificateParams;
    use rcgen::DnType;
    use rcgen::ExtendedKeyUsagePurpose;
    use rcgen::KeyPair;
    use rcgen::OtherNameValue;
    use rcgen::SanType;

    use super::*;

    /// A certificate of this common name, signed by itself.
    pub(in crate::auth) fn der(
        common: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.remove(DnType::CommonName);
        parameters
            .distinguished_name
            .push(DnType::CommonName, common);
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        certificate.der().to_vec()
    }

    fn text(name: &str) -> rcgen::string::Ia5String {
        name.try_into().expect("ASCII")
    }

    /// The holder of a certificate of `common`, whose issuer is known by
    /// `issuer`.
    pub(in crate::auth) fn holder(common: &str, issuer: &[u8]) -> Holder {
        let standing = Standing::Issued(vec![Thumbprint::sha1_of(issuer)]);
        Holder::read(&der(common, |_| {}), standing).expect("X.509")
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let alternative = vec![
            SanType::DnsName(text("alice.example.org")),
            SanType::Rfc822Name(text("alice@example.org")),
            SanType::OtherName((
                vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3],
                OtherNameValue::Utf8String("alice@corp".to_owned()),
            )),
            SanType::OtherName((
                vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 4],
                OtherNameValue::Utf8String("another".to_owned()),
            )),
            SanType::URI(text("http://alice")),
        ];
        let own = der("Alice", |own| own.subject_alt_names = alternative);
        let (one, two) = (Thumbprint::sha1_of(b"one"), Thumbprint::sha1_of(b"two"));
        let read = Holder::read(&own, Standing::Issued(vec![one, two])).expect("X.509");
        assert_eq!(
            read.names(),
            [
                "Alice",
                "alice.example.org",
                "alice@example.org",
                "alice@corp"
            ]
        );
        assert_eq!(read.thumbprint(), Thumbprint::sha1_of(&own));
        assert!(read.is_named_by(Thumbprint::sha1_of(&own)));
        assert!(read.is_named_by(Thumbprint::sha256_of(&own)));
        assert!(read.is_issued_by(one) && read.is_issued_by(two));
        assert!(!read.is_named_by(one) && !read.is_issued_by(read.thumbprint()));
    }

    #[test]
    fn a_name_with_control_characters_is_none() {
        assert!(holder("ali\u{0}ce", b"").names().is_empty());
        assert!(holder("ali\nce", b"").names().is_empty());
    }

    #[test]
    fn a_certificate_is_of_use_within_its_dates_and_for_clients() {
        let now = SystemTime::now();
        let (hour, day) = (Duration::from_hours(1), Duration::from_hours(24));
        let with_dates = |own: &mut CertificateParams| {
            own.not_before = (now - hour).into();
            own.not_after = (now + hour).into();
        };
        let read = |own: &[u8]| {
            let standing = Standing::Alone(Unverified::TooLong);
            Holder::read(own, standing).expect("X.509")
        };
        let any = read(&der("alice", with_dates));
        assert!(any.is_usable(now));
        assert!(any.is_usable(any.not_after()));
        assert!(!any.is_usable(any.not_after() + Duration::from_secs(1)));
        assert!(!any.is_usable(now - day));
        for (usage, is_usable) in [
            (ExtendedKeyUsagePurpose::ClientAuth, true),
            (ExtendedKeyUsagePurpose::ServerAuth, false),
        ] {
            let own = read(&der("alice", |own| {
                with_dates(own);
                own.extended_key_usages = vec![usage];
            }));
            assert_eq!(own.is_usable(now), is_usable);
        }
        assert!(!any.is_issued_by(any.thumbprint()), "nobody vouches for it");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn arbitrary_octets_are_read_or_refused(
            octets in proptest::collection::vec(any::<u8>(), 0..256),
            at in any::<proptest::sample::Index>(),
            octet in any::<u8>(),
        ) {
            let nobody = || Standing::Issued(Vec::new());
            let _ = Holder::read(&octets, nobody());
            let _ = principal_name(&octets);
            let names = vec![SanType::DnsName(text("a.b"))];
            let mut near = der("alice", |own| own.subject_alt_names = names);
            let at = at.index(near.len());
            near[at] = octet;
            let _ = Holder::read(&near, nobody());
        }
    }
}
