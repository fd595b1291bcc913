//! Channel binding: is the client's log-on meant for this very TLS connection?
//!
//! The binding is `tls-server-end-point` (RFC 5929 4): a hash of the
//! certificate that the server has shown. A log-on that somebody passes on from
//! a connection of his own bears the hash of his certificate, or none.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::digest::Algorithm;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_NIST_HASH_SHA384;
use x509_parser::oid_registry::OID_NIST_HASH_SHA512;
use x509_parser::oid_registry::OID_PKCS1_RSASSAPSS;
use x509_parser::oid_registry::OID_PKCS1_SHA224WITHRSA;
use x509_parser::oid_registry::OID_PKCS1_SHA384WITHRSA;
use x509_parser::oid_registry::OID_PKCS1_SHA512WITHRSA;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA224;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA384;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA512;
use x509_parser::oid_registry::Oid;
use x509_parser::oid_registry::asn1_rs::oid;
use x509_parser::prelude::FromDer as _;
use x509_parser::signature_algorithm::RsaSsaPssParams;

/// What a client must name to bind its log-on to a TLS connection: the
/// application data of `gss_channel_bindings_struct` (RFC 2744 3.11).
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct ChannelBinding(Arc<[u8]>);

/// What a client has named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    /// No channel.
    Nothing,
    /// This one.
    This,
    /// Another one.
    Other,
}

impl ChannelBinding {
    /// That of a server with this certificate (DER): the hash is the one of the
    /// certificate's own signature, SHA-256 in place of MD5 and SHA-1 (RFC 5929
    /// 4.1). Where the signature names none (Ed25519, Ed448) the binding is not
    /// defined; SHA-256 is what pypsrp and `requests_ntlm` take, as the fixture
    /// `binding/clients.toml` shows.
    pub(crate) fn of_end_point(certificate: &[u8]) -> Self {
        let mut data = b"tls-server-end-point:".to_vec();
        data.extend_from_slice(digest::digest(signature_hash(certificate), certificate).as_ref());
        Self(data.into())
    }

    /// The application data.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// The hash of a certificate's signature.
fn signature_hash(certificate: &[u8]) -> &'static Algorithm {
    let parsed = X509Certificate::from_der(certificate);
    let hash = parsed.ok().and_then(|(_, parsed)| {
        let algorithm = &parsed.signature_algorithm;
        if algorithm.algorithm != OID_PKCS1_RSASSAPSS {
            return find(SIGNATURES, &algorithm.algorithm);
        }
        // The hash stands in the parameters (RFC 4055 3.1).
        let parameters = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
        find(HASHES, parameters.hash_algorithm_oid())
    });
    hash.unwrap_or(&digest::SHA256)
}

fn find(known: &[(Oid<'static>, &'static Algorithm)], oid: &Oid<'_>) -> Option<&'static Algorithm> {
    let found = known.iter().find(|(own, _)| own == oid);
    found.map(|(_, hash)| *hash)
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding(…)")
    }
}

/// Signatures of another hash than SHA-256, MD5 and SHA-1.
const SIGNATURES: &[(Oid<'static>, &Algorithm)] = &[
    (OID_PKCS1_SHA224WITHRSA, &digest::SHA224),
    (OID_PKCS1_SHA384WITHRSA, &digest::SHA384),
    (OID_PKCS1_SHA512WITHRSA, &digest::SHA512),
    (OID_SIG_ECDSA_WITH_SHA224, &digest::SHA224),
    (OID_SIG_ECDSA_WITH_SHA384, &digest::SHA384),
    (OID_SIG_ECDSA_WITH_SHA512, &digest::SHA512),
    // `id-ecdsa-with-sha3-256` and on, `id-rsassa-pkcs1-v1_5-with-sha3-256` and
    // on (NIST, Computer Security Objects Register).
    (oid!(2.16.840.1.101.3.4.3.10), &digest::SHA3_256),
    (oid!(2.16.840.1.101.3.4.3.11), &digest::SHA3_384),
    (oid!(2.16.840.1.101.3.4.3.12), &digest::SHA3_512),
    (oid!(2.16.840.1.101.3.4.3.14), &digest::SHA3_256),
    (oid!(2.16.840.1.101.3.4.3.15), &digest::SHA3_384),
    (oid!(2.16.840.1.101.3.4.3.16), &digest::SHA3_512),
];

/// Hashes other than those, as RSASSA-PSS names them.
const HASHES: &[(Oid<'static>, &Algorithm)] = &[
    (oid!(2.16.840.1.101.3.4.2.4), &digest::SHA224),
    (OID_NIST_HASH_SHA384, &digest::SHA384),
    (OID_NIST_HASH_SHA512, &digest::SHA512),
];

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        certificate: Vec<Signed>,
    }

    #[derive(Deserialize)]
    struct Signed {
        signature: String,
        der: String,
        pypsrp: String,
        requests_ntlm: String,
        pywinrm: Option<String>,
    }

    fn of_end_point(certificate: &[u8]) -> String {
        let binding = ChannelBinding::of_end_point(certificate);
        let hash = binding.octets().strip_prefix(b"tls-server-end-point:");
        let octets = hash.expect("the prefix").iter();
        let digits: Vec<_> = octets.map(|octet| format!("{octet:02x}")).collect();
        digits.concat()
    }

    #[test]
    fn the_binding_is_what_clients_make_of_the_certificate() {
        let text = include_str!("binding/clients.toml");
        let fixture: Fixture = toml::from_str(text).expect("the fixture");
        let mut lengths = Vec::new();
        for signed in fixture.certificate {
            let der = base64::engine::general_purpose::STANDARD.decode(&signed.der);
            let own = of_end_point(&der.expect("base64"));
            let pywinrm = signed.pywinrm.as_ref().unwrap_or(&own);
            for client in [&signed.pypsrp, &signed.requests_ntlm, pywinrm] {
                assert_eq!(&own, client, "{}", signed.signature);
            }
            lengths.push((signed.signature, own.len() / 2));
        }
        for (signature, length) in [
            ("RSA, sha1", 32),
            ("RSA, sha384", 48),
            ("ECDSA, sha512", 64),
            ("RSA-PSS, sha384", 48),
            ("ECDSA, sha224", 28),
            ("Ed25519", 32),
        ] {
            assert!(
                lengths.contains(&(signature.to_owned(), length)),
                "{signature}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_octets_have_a_binding(octets in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert_eq!(of_end_point(&octets).len(), 64);
        }
    }
}
