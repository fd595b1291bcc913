//! Whose word counts for the certificates of servers.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::TrustAnchor;
use webpki::anchor_from_trusted_cert;

/// Certificates that are trusted: as authorities, and for themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorities {
    anchors: Vec<TrustAnchor<'static>>,
    /// Trusted when a server shows them itself, too: many tools make a
    /// certificate that is signed by itself and marked as an authority.
    known: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Adds an authority of the system. One that cannot be read is left out:
    /// systems carry some that are older than the rules.
    pub(crate) fn add_if_usable(&mut self, certificate: &CertificateDer<'_>) {
        if let Ok(anchor) = anchor_from_trusted_cert(certificate) {
            self.anchors.push(anchor.to_owned());
        }
    }

    /// Adds an authority that may also be a server's own certificate.
    ///
    /// # Errors
    ///
    /// [`webpki::Error`] when it cannot be read.
    pub(crate) fn add_known(
        &mut self,
        certificate: CertificateDer<'static>,
    ) -> Result<(), webpki::Error> {
        self.anchors
            .push(anchor_from_trusted_cert(&certificate)?.to_owned());
        self.known.push(certificate);
        Ok(())
    }

    /// Are there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// What paths end at.
    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// Is this certificate trusted for itself?
    pub(super) fn know(&self, certificate: &CertificateDer<'_>) -> bool {
        self.known.iter().any(|known| known == certificate)
    }
}
