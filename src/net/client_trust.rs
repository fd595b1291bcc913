//! Client certificates: the files that say whose are believed, and how TLS asks
//! for one.
//!
//! TLS proves that the client has the key of the certificate that he shows.
//! Whether the certificate is good is judged after the handshake, also that of
//! a resumed session: one that is not leaves the connection as it would be
//! without, so that its client can log on by other means.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::DigitallySignedStruct;
use rustls::DistinguishedName;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerified;
use rustls::server::danger::ClientCertVerifier;

use super::tls::TlsError;
use crate::auth::Authority;
use crate::auth::ClientTrust;
use crate::auth::RevocationList;
use crate::auth::Sources;

/// Reads whose certificates are believed. It blocks.
///
/// # Errors
///
/// [`TlsError`].
pub(super) fn load(sources: Sources) -> Result<ClientTrust, TlsError> {
    let authorities = match &sources.authorities {
        Some(path) => authorities(path)?,
        None => Vec::new(),
    };
    let mut lists = Vec::new();
    for path in &sources.revocation_lists {
        lists.extend(revocation_lists(path)?);
    }
    Ok(ClientTrust::new(sources, authorities, lists))
}

/// The authorities of a PEM file.
fn authorities(path: &Path) -> Result<Vec<Authority>, TlsError> {
    let no_pem = || TlsError::NoPem {
        path: path.to_owned(),
        what: "certificate",
    };
    let pem = read(path, MAX_AUTHORITIES)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| no_pem())?;
    let authorities: Vec<_> = certificates
        .into_iter()
        .map(Authority::decode)
        .collect::<Result<_, _>>()
        .map_err(|_| no_pem())?;
    if authorities.is_empty() {
        return Err(no_pem());
    }
    Ok(authorities)
}

/// The lists of a file: one in DER, or any number in PEM.
fn revocation_lists(path: &Path) -> Result<Vec<RevocationList>, TlsError> {
    let octets = read(path, MAX_LISTS)?;
    let der = if octets.starts_with(&[DER_SEQUENCE]) {
        vec![octets.into()]
    } else {
        CertificateRevocationListDer::pem_slice_iter(&octets)
            .collect::<Result<Vec<_>, _>>()
            .unwrap_or_default()
    };
    if der.is_empty() {
        return Err(TlsError::NoPem {
            path: path.to_owned(),
            what: "list of revoked certificates",
        });
    }
    der.iter()
        .map(|one| RevocationList::decode(one))
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::RevocationList {
            path: path.to_owned(),
            source,
        })
}

/// Reads a file of at most `limit` octets.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, TlsError> {
    let octets = || {
        let mut octets = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut octets)?;
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > limit {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        Ok(octets)
    };
    octets().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Asks for a certificate, takes none or any, and has the client prove that he
/// has its key.
#[derive(Debug)]
pub(super) struct Question {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Whose certificates a client is told to show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hints {
    /// Those of the authorities.
    Authorities,
    /// Any that he has: clients keep back those that are signed by themselves
    /// when they are given names.
    Nobody,
}

impl Question {
    pub(super) fn new(trust: &ClientTrust, hints: Hints) -> Arc<Self> {
        let names = trust.authorities();
        let names = names.filter(|_| hints == Hints::Authorities);
        Arc::new(Self {
            hints: names
                .filter_map(|one| x509_parser::parse_x509_certificate(one).ok())
                .map(|(_, one)| DistinguishedName::from(one.subject().as_raw().to_vec()))
                .collect(),
            algorithms: trust.algorithms(),
        })
    }
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
        // INVARIANT: a chain counts for nothing before `ClientTrust` has judged
        // it.
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

/// Octets of a file of certificates: all authorities of a system are a quarter
/// of it.
pub(super) const MAX_AUTHORITIES: u64 = 1 << 20;

/// Octets of a file of revocation lists: a million entries.
const MAX_LISTS: u64 = 64 << 20;

/// How everything in DER begins here, and nothing in PEM.
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests;
