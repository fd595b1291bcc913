//! Whose client certificates are believed: authorities, and the lists of what
//! they have revoked (RFC 5280).
//!
//! A certificate that none of the authorities vouches for is not lost: an
//! administrator can trust it by its own thumbprint, as Windows does with
//! certificates that are signed by themselves. It must be within its dates and
//! for clients, and no list may have it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;
use std::time::SystemTime;

use aws_lc_rs::digest;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::TrustAnchor;
use rustls::pki_types::UnixTime;
use webpki::CertRevocationList;
use webpki::EndEntityCert;
use webpki::ExpirationPolicy;
use webpki::KeyUsage;
use webpki::OwnedCertRevocationList;
use webpki::RevocationCheckDepth;
use webpki::RevocationOptions;
use webpki::RevocationOptionsBuilder;
use webpki::UnknownStatusPolicy;
use webpki::VerifiedPath;
use webpki::anchor_from_trusted_cert;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use super::holder::Holder;
use super::holder::Standing;
use super::holder::ends_at;

use crate::config::AccessSettings;
use crate::trust::Thumbprint;

/// The authorities of client certificates, and what they have revoked, as some
/// files have it at one time.
#[derive(Debug)]
pub(crate) struct ClientTrust {
    sources: Sources,
    authorities: Vec<Authority>,
    /// The anchors of the authorities, in their order.
    anchors: Vec<TrustAnchor<'static>>,
    /// The newest first: the first one that is for a certificate counts.
    lists: Vec<RevocationList>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The files that say whose certificates are believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sources {
    /// PEM file of the authorities.
    pub(crate) authorities: Option<PathBuf>,
    /// Lists of revoked certificates.
    pub(crate) revocation_lists: Vec<PathBuf>,
}

/// The trust that is in force; it changes when the files do.
#[derive(Debug)]
pub(crate) struct CurrentTrust(RwLock<Arc<ClientTrust>>);

/// The certificate of an authority.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
}

/// A list of revoked certificates. It has no signature that was checked: that is
/// done when a certificate meets it.
#[derive(Debug)]
pub(crate) struct RevocationList {
    list: CertRevocationList<'static>,
    this_update: SystemTime,
    next_update: SystemTime,
    /// SHA-256.
    hash: Vec<u8>,
}

/// Why a client certificate is not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unverified {
    /// There is no path to an authority, it has expired, is revoked, or is not
    /// for clients.
    #[error("{}", beginning(.0))]
    Path(webpki::Error),
    /// A list has it, or would have to say that it does not, and is too old.
    #[error("{}", beginning(.0))]
    Revoked(webpki::Error),
    /// More certificates than any client has: each costs checks of signatures.
    #[error("the chain of certificates is too long")]
    TooLong,
    /// It is none, or cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The connection has asked for it by other settings.
    #[error("the authorities of client certificates are others now")]
    Elsewhere,
}

impl Sources {
    /// The files that `access` names.
    pub(crate) fn of(access: &AccessSettings) -> Self {
        Self {
            authorities: access.client_ca_certificates.clone(),
            revocation_lists: access.client_revocation_lists.clone(),
        }
    }

    /// Holds when these are the files that `access` names.
    pub(crate) fn are_those_of(&self, access: &AccessSettings) -> bool {
        self.authorities == access.client_ca_certificates
            && self.revocation_lists == access.client_revocation_lists
    }
}

impl CurrentTrust {
    /// `trust` is in force.
    pub(crate) fn new(trust: ClientTrust) -> Self {
        Self(RwLock::new(Arc::new(trust)))
    }

    /// The one in force now.
    pub(crate) fn get(&self) -> Arc<ClientTrust> {
        // A pointer is swapped whole: there is nothing half-done to find.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force: what was proved under the old one must be
    /// proved again.
    pub(crate) fn set(&self, trust: Arc<ClientTrust>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = trust;
    }
}

impl Authority {
    /// Reads the certificate of an authority.
    ///
    /// # Errors
    ///
    /// [`webpki::Error`].
    pub(crate) fn decode(certificate: CertificateDer<'static>) -> Result<Self, webpki::Error> {
        let anchor = anchor_from_trusted_cert(&certificate)?.to_owned();
        Ok(Self {
            certificate,
            anchor,
        })
    }
}

impl RevocationList {
    /// Reads a list in DER. It must be one of version 2 with a `nextUpdate`,
    /// and whole: lists of changes and of other issuers are refused.
    ///
    /// # Errors
    ///
    /// [`webpki::Error`].
    pub(crate) fn decode(der: &[u8]) -> Result<Self, webpki::Error> {
        let list = OwnedCertRevocationList::from_der(der)?;
        let (_, parsed) =
            CertificateRevocationList::from_der(der).map_err(|_| webpki::Error::BadDer)?;
        let next_update = parsed.next_update().ok_or(webpki::Error::BadDer)?;
        Ok(Self {
            list: list.into(),
            this_update: instant(parsed.last_update().timestamp())?,
            next_update: instant(next_update.timestamp())?,
            hash: digest::digest(&digest::SHA256, der).as_ref().to_vec(),
        })
    }
}

impl ClientTrust {
    /// What stands in `sources`.
    pub(crate) fn new(
        sources: Sources,
        authorities: Vec<Authority>,
        mut lists: Vec<RevocationList>,
    ) -> Self {
        lists.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        Self {
            sources,
            anchors: authorities.iter().map(|one| one.anchor.clone()).collect(),
            authorities,
            lists,
            algorithms: default_provider().signature_verification_algorithms,
        }
    }

    /// Where it stands.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The certificates of the authorities.
    pub(crate) fn authorities(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.authorities.iter().map(|one| &one.certificate)
    }

    /// Signatures that are understood.
    pub(crate) fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.algorithms
    }

    /// When the first of the lists ends, or has ended.
    pub(crate) fn lists_end_at(&self) -> Option<SystemTime> {
        self.lists.iter().map(|list| list.next_update).min()
    }

    /// Holds when `other` says the same, read from the same files.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let hashes = |trust: &Self| -> Vec<Vec<u8>> {
            trust.lists.iter().map(|list| list.hash.clone()).collect()
        };
        self.sources == other.sources
            && self.authorities().eq(other.authorities())
            && hashes(self) == hashes(other)
    }

    /// Judges what a client has shown, his own certificate first.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<Holder, Unverified> {
        let (own, others) = chain.split_first().ok_or(Unverified::Unreadable)?;
        if others.len() > MAX_INTERMEDIATES {
            return Err(Unverified::TooLong);
        }
        let end = EndEntityCert::try_from(own).map_err(Unverified::Path)?;
        let why = match self.issuers(&end, own, others, now) {
            Ok((issuers, end)) => {
                let holder = Holder::read(own, Standing::Issued(issuers));
                return holder
                    .map(|holder| holder.until(end))
                    .ok_or(Unverified::Unreadable);
            }
            Err(why) if is_of_revocation(&why) => return Err(Unverified::Revoked(why)),
            Err(why) => why,
        };
        if self.have_listed(&end) {
            return Err(Unverified::Revoked(webpki::Error::CertRevoked));
        }
        let alone = Standing::Alone(Unverified::Path(why.clone()));
        Holder::read(own, alone)
            .filter(|holder| holder.is_usable(now))
            .ok_or(Unverified::Path(why))
    }

    /// Until when what was judged at `now` must be judged again: one of the
    /// lists ends.
    pub(super) fn holds_until(&self, now: SystemTime) -> Option<SystemTime> {
        let ends = self.lists.iter().map(|list| list.next_update);
        ends.filter(|end| *end > now).min()
    }

    /// The certificates that have signed `own`, by a path to an authority, and
    /// when the first one between them ends.
    fn issuers(
        &self,
        end: &EndEntityCert<'_>,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<(Vec<Thumbprint>, Option<SystemTime>), webpki::Error> {
        let is_signed_by_authority = |path: &VerifiedPath<'_>| {
            // A certificate that is trusted for itself may sign no other one.
            let may_sign = self
                .of_anchor(path.anchor())
                .any(|authority| authority == own || is_authority(authority));
            may_sign
                .then_some(())
                .ok_or(webpki::Error::EndEntityUsedAsCa)
        };
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let lists: Vec<_> = self.lists.iter().map(|list| &list.list).collect();
        let path = end.verify_for_usage(
            self.algorithms.all,
            &self.anchors,
            others,
            UnixTime::since_unix_epoch(since.unwrap_or_default()),
            KeyUsage::client_auth(),
            revocation(&lists),
            Some(&is_signed_by_authority),
        )?;
        let intermediates = path.intermediate_certificates();
        let end = intermediates.filter_map(|one| ends_at(&one.der())).min();
        let issuers = match path.intermediate_certificates().next() {
            Some(one) => vec![Thumbprint::sha1_of(&one.der())],
            None => self
                .of_anchor(path.anchor())
                .map(|one| Thumbprint::sha1_of(one))
                .collect(),
        };
        Ok((issuers, end))
    }

    /// Holds when a list names the certificate, whoever has signed the list: who
    /// cannot be told without a path.
    fn have_listed(&self, end: &EndEntityCert<'_>) -> bool {
        let lists = self.lists.iter().map(|list| &list.list);
        let mut of_issuer = lists.filter(|list| list.issuer() == end.issuer());
        of_issuer.any(|list| !matches!(list.find_serial(end.serial()), Ok(None)))
    }

    /// The certificates of an anchor: those with its name and key.
    fn of_anchor<'s>(
        &'s self,
        anchor: &'s TrustAnchor<'_>,
    ) -> impl Iterator<Item = &'s CertificateDer<'static>> {
        let same = self.authorities.iter().filter(|own| {
            own.anchor.subject == anchor.subject
                && own.anchor.subject_public_key_info == anchor.subject_public_key_info
        });
        same.map(|own| &own.certificate)
    }
}

/// How lists are held against a chain: every certificate of it, where there is a
/// list of its issuer, and that list must not have ended.
fn revocation<'l>(lists: &'l [&'l CertRevocationList<'l>]) -> Option<RevocationOptions<'l>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    let options = options
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Allow)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(options.build())
}

/// Holds when a list is why: then no thumbprint makes a certificate good.
fn is_of_revocation(error: &webpki::Error) -> bool {
    matches!(
        error,
        webpki::Error::CertRevoked
            | webpki::Error::CrlExpired { .. }
            | webpki::Error::UnknownRevocationStatus
            | webpki::Error::InvalidCrlSignatureForPublicKey
            | webpki::Error::IssuerNotCrlSigner
            | webpki::Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | webpki::Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_)
    )
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

/// A time of a list.
fn instant(seconds: i64) -> Result<SystemTime, webpki::Error> {
    let since = u64::try_from(seconds).map_err(|_| webpki::Error::BadDerTime)?;
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(since))
        .ok_or(webpki::Error::BadDerTime)
}

/// Certificates that a client may show beside his own.
pub(super) const MAX_INTERMEDIATES: usize = 8;

/// Characters of the reason for which a certificate is refused.
const MAX_REASON: usize = 200;

#[cfg(test)]
pub(super) mod tests;
