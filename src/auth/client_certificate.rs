//! A client certificate that TLS has verified, as far as a log-on asks.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use aws_lc_rs::digest;
use x509_parser::asn1_rs::Any;
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::asn1_rs::oid;

/// What a certificate says of its holder. Whoever makes one has verified the
/// certificate, and that the peer has its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ClientCertificate {
    names: Vec<String>,
    thumbprint: Thumbprint,
    issuers: Vec<Thumbprint>,
    not_after: SystemTime,
    authorities: PathBuf,
}

/// SHA-1 of a certificate: by it Windows names certificates, and nothing here
/// rests on more than that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Thumbprint([u8; 20]);

impl ClientCertificate {
    /// Reads the certificate `own`, which each of `issuers` has signed (an
    /// authority can have several certificates for one key). All are DER, and
    /// were verified against the authorities in the file `authorities`.
    /// Nothing if `own` is no X.509.
    pub(crate) fn read(own: &[u8], issuers: &[&[u8]], authorities: &Path) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(own).ok()?;
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        Some(Self {
            names: names(&parsed),
            thumbprint: Thumbprint::of(own),
            issuers: issuers
                .iter()
                .map(|issuer| Thumbprint::of(issuer))
                .collect(),
            not_after: SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after))?,
            authorities: authorities.to_owned(),
        })
    }

    /// Common names, DNS names, e-mail addresses and user principal names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Its own thumbprint.
    pub(super) fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// The thumbprints of the certificates that have signed it.
    pub(super) fn issuers(&self) -> &[Thumbprint] {
        &self.issuers
    }

    /// The last instant at which it is valid.
    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Holds while it is good: it has not ended, and the authorities are still
    /// those that it was verified against.
    pub(super) fn is_good(&self, authorities: Option<&Path>, now: SystemTime) -> bool {
        authorities == Some(self.authorities.as_path()) && now <= self.not_after
    }
}

impl Thumbprint {
    /// The thumbprint of a certificate in DER.
    fn of(certificate: &[u8]) -> Self {
        let mut octets = [0; 20];
        let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate);
        octets.copy_from_slice(sum.as_ref());
        Self(octets)
    }

    /// Reads 40 hexadecimal digits of any case; blanks are ignored.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 20];
        let mut count = 0;
        for digit in text.chars().filter(|digit| *digit != ' ') {
            let digit = u8::try_from(digit.to_digit(16)?).ok()?;
            let octet = octets.get_mut(count / 2)?;
            *octet = (*octet << 4) | digit;
            count += 1;
        }
        (count == 40).then_some(Self(octets))
    }
}

impl std::fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
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
    use std::time::Duration;

    use proptest::prelude::*;
    use rcgen::CertificateParams;
    use rcgen::DnType;
    use rcgen::KeyPair;
    use rcgen::OtherNameValue;
    use rcgen::SanType;

    use super::*;

    pub(in crate::auth) const AUTHORITIES: &str = "/etc/authorities.pem";

    /// A certificate with these names, signed by itself.
    fn der(common: &str, alternative: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.remove(DnType::CommonName);
        parameters
            .distinguished_name
            .push(DnType::CommonName, common);
        parameters.subject_alt_names = alternative;
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        certificate.der().to_vec()
    }

    fn text(name: &str) -> rcgen::string::Ia5String {
        name.try_into().expect("ASCII")
    }

    /// A certificate of `common`, whose issuer is known by `issuer`.
    pub(in crate::auth) fn certificate(common: &str, issuer: &[u8]) -> ClientCertificate {
        let own = der(common, Vec::new());
        ClientCertificate::read(&own, &[issuer], Path::new(AUTHORITIES)).expect("X.509")
    }

    #[test]
    fn every_kind_of_name_is_found() {
        let own = der(
            "Alice",
            vec![
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
            ],
        );
        let read =
            ClientCertificate::read(&own, &[b"one", b"two"], Path::new("/x")).expect("X.509");
        assert_eq!(
            read.names(),
            [
                "Alice",
                "alice.example.org",
                "alice@example.org",
                "alice@corp"
            ]
        );
        assert_eq!(read.thumbprint(), Thumbprint::of(&own));
        assert_eq!(
            read.issuers(),
            [Thumbprint::of(b"one"), Thumbprint::of(b"two")]
        );
    }

    #[test]
    fn a_name_with_control_characters_is_none() {
        assert!(certificate("ali\u{0}ce", b"").names().is_empty());
        assert!(certificate("ali\nce", b"").names().is_empty());
    }

    #[test]
    fn it_is_good_until_its_end_and_for_its_authorities() {
        let read = certificate("alice", b"");
        let own = Some(Path::new(AUTHORITIES));
        let last = read.not_after;
        assert!(read.is_good(own, last));
        assert!(!read.is_good(own, last + Duration::from_secs(1)));
        assert!(!read.is_good(Some(Path::new("/etc/others.pem")), last));
        assert!(!read.is_good(None, last));
    }

    #[test]
    fn a_thumbprint_is_forty_digits() {
        let sum = Thumbprint::of(b"abc");
        let text = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(sum.to_string(), text);
        assert_eq!(Thumbprint::parse(text), Some(sum));
        assert_eq!(
            Thumbprint::parse(&text.to_uppercase().replace("99", "9 9 ")),
            Some(sum)
        );
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('a', "g")] {
            assert_eq!(Thumbprint::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn arbitrary_octets_are_read_or_refused(
            octets in proptest::collection::vec(any::<u8>(), 0..256),
            at in any::<proptest::sample::Index>(),
            octet in any::<u8>(),
        ) {
            let _ = ClientCertificate::read(&octets, &[], Path::new("/x"));
            let _ = principal_name(&octets);
            let mut near = der("alice", vec![SanType::DnsName(text("a.b"))]);
            let at = at.index(near.len());
            near[at] = octet;
            let _ = ClientCertificate::read(&near, &[], Path::new("/x"));
        }

        #[test]
        fn arbitrary_text_is_a_thumbprint_or_none(text in ".*") {
            let _ = Thumbprint::parse(&text);
        }
    }
}
