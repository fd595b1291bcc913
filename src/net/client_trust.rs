//! Client certificates: which TLS asks for, and whose are believed.
//!
//! TLS proves that the client has the key of the certificate that he shows.
//! Whether the certificate is good is judged after the handshake, also that of
//! a resumed session: one that is not leaves the connection as it would be
//! without, so that its client can log on by other means.

use std::path::Path;
use std::path::PathBuf;

use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::TrustAnchor;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerified;
use rustls::server::danger::ClientCertVerifier;
use webpki::EndEntityCert;
use webpki::KeyUsage;
use webpki::VerifiedPath;
use webpki::anchor_from_trusted_cert;

use super::tls::TlsError;
use crate::auth::ClientCertificate;

/// The authorities of client certificates that one file has.
#[derive(Debug)]
pub(super) struct Authorities {
    path: PathBuf,
    /// In the order of the anchors.
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a client certificate is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unverified {
    /// There is no path to an authority, it has expired, or it is not for
    /// clients.
    #[error("{}", beginning(.0))]
    Path(webpki::Error),
    /// More certificates than any client has: each costs checks of signatures.
    #[error("the chain of certificates is too long")]
    TooLong,
    /// It is none, or cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
}

impl Authorities {
    /// Reads a PEM file.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(super) fn load(path: &Path) -> Result<Self, TlsError> {
        let no_pem = || TlsError::NoPem {
            path: path.to_owned(),
            what: "certificate",
        };
        let pem = std::fs::read(path).map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let certificates = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| no_pem())?;
        let anchors = certificates
            .iter()
            .map(|one| anchor_from_trusted_cert(one).map(|anchor| anchor.to_owned()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| no_pem())?;
        if anchors.is_empty() {
            return Err(no_pem());
        }
        Ok(Self {
            path: path.to_owned(),
            certificates,
            anchors,
            algorithms: default_provider().signature_verification_algorithms,
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What asks clients for a certificate.
    pub(super) fn question(&self) -> impl ClientCertVerifier + 'static {
        Question {
            hints: self
                .certificates
                .iter()
                .filter_map(|one| x509_parser::parse_x509_certificate(one).ok())
                .map(|(_, one)| DistinguishedName::from(one.subject().as_raw().to_vec()))
                .collect(),
            algorithms: self.algorithms,
        }
    }

    /// Judges what a client has shown, his own certificate first.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertificate, Unverified> {
        let (own, others) = chain.split_first().ok_or(Unverified::Unreadable)?;
        if others.len() > MAX_INTERMEDIATES {
            return Err(Unverified::TooLong);
        }
        let end = EndEntityCert::try_from(own).map_err(Unverified::Path)?;
        let is_signed_by_authority = |path: &VerifiedPath<'_>| {
            // A certificate that is trusted for itself may sign no other one.
            let may_sign = self
                .of_anchor(path.anchor())
                .any(|authority| authority == own || is_authority(authority));
            may_sign
                .then_some(())
                .ok_or(webpki::Error::EndEntityUsedAsCa)
        };
        let path = end
            .verify_for_usage(
                self.algorithms.all,
                &self.anchors,
                others,
                now,
                KeyUsage::client_auth(),
                None,
                Some(&is_signed_by_authority),
            )
            .map_err(Unverified::Path)?;
        let intermediate = path
            .intermediate_certificates()
            .next()
            .map(webpki::Cert::der);
        let issuers: Vec<&[u8]> = match &intermediate {
            Some(one) => vec![one],
            None => self.of_anchor(path.anchor()).map(AsRef::as_ref).collect(),
        };
        ClientCertificate::read(own, &issuers, &self.path).ok_or(Unverified::Unreadable)
    }

    /// The certificates of an anchor: those with its name and key.
    fn of_anchor<'s>(
        &'s self,
        anchor: &'s TrustAnchor<'_>,
    ) -> impl Iterator<Item = &'s CertificateDer<'static>> {
        let both = self.certificates.iter().zip(&self.anchors);
        both.filter(|(_, own)| {
            own.subject == anchor.subject
                && own.subject_public_key_info == anchor.subject_public_key_info
        })
        .map(|(certificate, _)| certificate)
    }
}

/// What is wrong, cut: it can repeat long lists from the certificate, and goes
/// to the log.
fn beginning(error: &webpki::Error) -> String {
    error.to_string().chars().take(MAX_REASON).collect()
}

/// Holds for the certificate of an authority; one of version 1 does not say.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| parsed.is_ca() || parsed.version().0 == 0)
}

/// Asks for a certificate, takes none or any, and has the client prove that he
/// has its key.
#[derive(Debug)]
struct Question {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Question {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // INVARIANT: a chain counts for nothing before `Authorities::verify`
        // has judged it.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Certificates that a client may show beside his own.
const MAX_INTERMEDIATES: usize = 8;

/// Characters of the reason for which a certificate is refused.
const MAX_REASON: usize = 200;

#[cfg(test)]
mod tests;
