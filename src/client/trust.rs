//! How an endpoint proves that it is the one meant.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::OtherError;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::server::ParsedCertificate;

/// Which certificates are taken for the endpoint's.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Those that the system's authorities vouch for.
    System,
    /// Those that the authorities in this PEM file vouch for, and the very
    /// certificates in it.
    File(PathBuf),
    /// This one alone, whatever names and dates it bears.
    Pinned(Pin),
}

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Pin([u8; 32]);

/// Why certificates to trust could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// The file could not be read, or is no PEM.
    #[error("cannot read the certificates in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is none, in the file or in the system.
    #[error("there is no certificate to trust")]
    Empty,
    /// The certificates cannot be used.
    #[error("the certificates to trust cannot be used")]
    Unusable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The text is no SHA-256 in hexadecimal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a SHA-256 of 64 hexadecimal digits")]
pub(crate) struct NotAPin;

impl Pin {
    /// The pin of a certificate.
    pub(crate) fn of(certificate: &[u8]) -> Self {
        let mut pin = [0; 32];
        for (to, from) in pin
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, certificate).as_ref())
        {
            *to = *from;
        }
        Self(pin)
    }
}

impl FromStr for Pin {
    type Err = NotAPin;

    /// Reads 64 digits, in any case, with or without colons as `openssl x509
    /// -fingerprint` prints them, and with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, NotAPin> {
        let text = text.trim();
        let text = match text.get(..7) {
            Some(prefix) if prefix.eq_ignore_ascii_case("sha256:") => {
                text.get(7..).unwrap_or_default()
            }
            _ => text,
        };
        let mut digits = text.chars().filter(|c| *c != ':');
        let mut pin = [0; 32];
        for octet in &mut pin {
            let mut digit = || digits.next().and_then(|c| c.to_digit(16)).ok_or(NotAPin);
            let value = digit()? * 16 + digit()?;
            *octet = u8::try_from(value).map_err(|_| NotAPin)?;
        }
        match digits.next() {
            Some(_) => Err(NotAPin),
            None => Ok(Self(pin)),
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Trust {
    /// The settings of TLS that hold to it.
    ///
    /// # Errors
    ///
    /// [`TrustError`].
    pub(super) fn config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                anchored(found.certs, &provider)?.0
            }
            Self::File(path) => {
                let unreadable = |source| TrustError::File {
                    path: path.clone(),
                    source,
                };
                let certificates = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(unreadable)?;
                let (by_authority, known) = anchored(certificates, &provider)?;
                Arc::new(Known {
                    by_authority,
                    known,
                })
            }
            Self::Pinned(pin) => Arc::new(Pinned {
                pin: *pin,
                provider: Arc::clone(&provider),
            }),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| TrustError::Unusable(e.into()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(config)
    }
}

/// The ordinary verifier, and the certificates that it was made of.
fn anchored(
    certificates: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>), TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.iter().cloned());
    if roots.is_empty() {
        return Err(TrustError::Empty);
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|e| TrustError::Unusable(e.into()))?;
    Ok((verifier, certificates))
}

/// Takes what an authority vouches for, and the known certificates themselves:
/// the ordinary verifier refuses a self-signed certificate that is marked as
/// an authority, and that is what many tools make.
#[derive(Debug)]
struct Known {
    by_authority: Arc<WebPkiServerVerifier>,
    known: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.known.iter().any(|k| k == end_entity) {
            return self.by_authority.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        let bad = || rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, certificate) =
            x509_parser::parse_x509_certificate(end_entity).map_err(|_| bad())?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = certificate.validity();
        if now < validity.not_before.timestamp() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > validity.not_after.timestamp() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.by_authority.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}

/// Takes one certificate alone; that the endpoint holds its key is proved by
/// the handshake as ever.
#[derive(Debug)]
struct Pinned {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

/// The endpoint showed another certificate than the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("the certificate has the SHA-256 {0}, another one is pinned")]
struct OtherCertificate(Pin);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Pin::of(end_entity);
        if shown == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        let other = OtherError(Arc::new(OtherCertificate(shown)));
        Err(CertificateError::Other(other).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_tools_print_it() {
        let pin = Pin::of(b"x");
        let plain = pin.to_string();
        assert_eq!(plain.len(), 64);
        let coloned: Vec<String> = plain
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect();
        for text in [plain.clone(), coloned.join(":"), format!(" SHA256:{plain}")] {
            assert_eq!(text.parse(), Ok(pin));
        }
        for text in ["", "sha256:", "ab", &plain[..63], &format!("{plain}0")] {
            assert_eq!(text.parse::<Pin>(), Err(NotAPin));
        }
    }
}
