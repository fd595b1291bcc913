//! Holds what a server shows against what is trusted (RFC 5280, RFC 9525).

use std::sync::Arc;

use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::OtherError;
use rustls::SignatureScheme;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::server::ParsedCertificate;
use webpki::CertRevocationList;
use webpki::EndEntityCert;
use webpki::ExpirationPolicy;
use webpki::ExtendedKeyUsageValidator;
use webpki::KeyPurposeIdIter;
use webpki::KeyUsage;
use webpki::OwnedCertRevocationList;
use webpki::RevocationCheckDepth;
use webpki::RevocationOptions;
use webpki::RevocationOptionsBuilder;
use webpki::UnknownStatusPolicy;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;
use x509_parser::revocation_list::CertificateRevocationList;

use super::Authorities;
use super::Refused;
use super::Thumbprint;
use super::Wrong;

/// Whom a connection trusts.
#[derive(Debug)]
pub(crate) struct Verifier {
    authorities: Arc<Authorities>,
    pins: Pins,
    leniency: Leniency,
    /// Is every certificate of a path held against a list of its issuer?
    revocation: Option<Arc<RevocationLists>>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Certificates that are trusted by their thumbprints: whatever names they bear
/// and whoever has signed them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Pins {
    /// One of these is enough.
    pub(crate) thumbprints: Vec<Thumbprint>,
    /// Nothing else is: the authorities have no word.
    pub(crate) is_exclusive: bool,
}

/// Which checks are left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a check of its own")]
pub(crate) struct Leniency {
    /// That the certificate is for the name of the server.
    pub(crate) name: bool,
    /// That the certificates of the path are valid today.
    pub(crate) date: bool,
    /// That an authority vouches for it.
    pub(crate) authority: bool,
    /// That it is for servers.
    pub(crate) usage: bool,
}

/// Lists of revoked certificates. Whether their signatures are good is seen
/// when a certificate meets them.
#[derive(Debug, Default)]
pub(crate) struct RevocationLists(
    /// The newest first: the first one that is for a certificate counts.
    Vec<(CertRevocationList<'static>, i64)>,
);

impl RevocationLists {
    /// Adds a list in DER, of version 2 and whole: lists of changes and of other
    /// issuers are refused.
    ///
    /// # Errors
    ///
    /// [`webpki::Error`].
    pub(crate) fn add(&mut self, der: &[u8]) -> Result<(), webpki::Error> {
        let list = OwnedCertRevocationList::from_der(der)?;
        let (_, parsed) =
            CertificateRevocationList::from_der(der).map_err(|_| webpki::Error::BadDer)?;
        self.0.push((list.into(), parsed.last_update().timestamp()));
        self.0.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        Ok(())
    }
}

impl Leniency {
    fn forgives(self, wrong: &Wrong) -> bool {
        match wrong {
            Wrong::Authority(_) => self.authority,
            Wrong::Name(_) => self.name,
            Wrong::Date(_) => self.date,
            Wrong::Usage => self.usage,
            Wrong::OtherPinned | Wrong::Revoked | Wrong::Revocation(_) | Wrong::Unreadable(_) => {
                false
            }
        }
    }
}

impl Verifier {
    /// Trusts `authorities` and `pins`, and leaves out what `leniency` says.
    pub(crate) fn new(authorities: Arc<Authorities>, pins: Pins, leniency: Leniency) -> Self {
        Self {
            authorities,
            pins,
            leniency,
            revocation: None,
            algorithms: default_provider().signature_verification_algorithms,
        }
    }

    /// The same, and no certificate of a path may be revoked, or without a list
    /// that says so: as Windows, where a list that cannot be had is an error.
    pub(crate) fn with_revocation(mut self, lists: Arc<RevocationLists>) -> Self {
        self.revocation = Some(lists);
        self
    }

    /// Judges what a server has shown.
    ///
    /// # Errors
    ///
    /// [`Refused`], with all that is wrong.
    pub(crate) fn judge(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Refused> {
        let mut wrong = self.examine(own, others, name, now);
        wrong.retain(|wrong| !self.leniency.forgives(wrong));
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Refused {
            shown: Thumbprint::sha256_of(own),
            wrong,
        })
    }

    fn examine(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Vec<Wrong> {
        if self.pins.thumbprints.iter().any(|pin| pin.is_of(own)) {
            return wrong_dates(own, now);
        }
        if self.pins.is_exclusive {
            return vec![Wrong::OtherPinned];
        }
        let end = match EndEntityCert::try_from(own) {
            Ok(end) => end,
            Err(error) => return vec![Wrong::Unreadable(in_short(&error))],
        };
        let mut wrong = if self.authorities.know(own) {
            wrong_dates(own, now)
        } else {
            self.examine_path(&end, own, others, now)
        };
        let is_for_name =
            ParsedCertificate::try_from(own).and_then(|own| verify_server_name(&own, name));
        if is_for_name.is_err() {
            wrong.push(Wrong::Name(name.to_str().into_owned()));
        }
        wrong
    }

    /// The path from the certificate to an authority. Where it does not hold as
    /// it must, the checks are left out one by one to see which are at fault.
    fn examine_path(
        &self,
        end: &EndEntityCert<'_>,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Vec<Wrong> {
        if others.len() > MAX_OTHERS {
            let why = "the chain of certificates is too long".to_owned();
            return vec![Wrong::Unreadable(why)];
        }
        let is_path = |at, any_usage, revocation| self.path(end, others, at, any_usage, revocation);
        let with_lists = self.revocation.is_some();
        let Err(first) = is_path(now, false, with_lists) else {
            return Vec::new();
        };
        let mut wrong = Vec::new();
        let mut at = now;
        let mut path = is_path(now, true, false);
        if let Err(error) = &path
            && is_of_date(error)
        {
            wrong.push(Wrong::Date(in_short(error)));
            // A path of which every certificate was valid at one time.
            let valid_at = times_of(own, others)
                .into_iter()
                .find(|time| is_path(*time, true, false).is_ok());
            if let Some(time) = valid_at {
                (at, path) = (time, Ok(()));
            }
        }
        match path {
            Ok(()) => {
                if is_path(at, false, false).is_err() {
                    wrong.push(Wrong::Usage);
                }
                if with_lists && let Err(error) = is_path(at, true, true) {
                    wrong.push(of_revocation(&error));
                }
            }
            Err(error) => {
                // INVARIANT: without a path there is always this to forgive,
                // whatever else is wrong.
                wrong.push(Wrong::Authority(in_words(&error)));
                if !is_for_servers(own) {
                    wrong.push(Wrong::Usage);
                }
                if with_lists {
                    wrong.push(self.listed(end));
                }
            }
        }
        if wrong.is_empty() {
            // The path that holds without the lists is another than with them.
            wrong.push(of_revocation(&first));
        }
        wrong
    }

    fn path(
        &self,
        end: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        at: UnixTime,
        any_usage: bool,
        with_lists: bool,
    ) -> Result<(), webpki::Error> {
        let lists = self.revocation.iter().filter(|_| with_lists);
        let lists: Vec<_> = lists
            .flat_map(|lists| &lists.0)
            .map(|(list, _)| list)
            .collect();
        if with_lists && lists.is_empty() {
            return Err(webpki::Error::UnknownRevocationStatus);
        }
        end.verify_for_usage(
            self.algorithms.all,
            self.authorities.anchors(),
            others,
            at,
            Usage { any: any_usage },
            revocation(&lists),
            None,
        )
        .map(|_| ())
    }

    /// What the lists say of a certificate without a path: whose they are cannot
    /// be told either.
    fn listed(&self, end: &EndEntityCert<'_>) -> Wrong {
        let mut lists = self.revocation.iter().flat_map(|lists| &lists.0);
        let is_listed = lists.any(|(list, _)| {
            list.issuer() == end.issuer() && !matches!(list.find_serial(end.serial()), Ok(None))
        });
        if is_listed {
            Wrong::Revoked
        } else {
            Wrong::Revocation("no list of a trusted issuer".to_owned())
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
            .map_err(|refused| CertificateError::Other(OtherError(Arc::new(refused))).into())
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

/// What the certificates of a path must be for.
#[derive(Clone, Copy)]
struct Usage {
    any: bool,
}

impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        if self.any {
            return Ok(());
        }
        KeyUsage::server_auth().validate(purposes)
    }
}

/// How lists are held against a path: every certificate of it but the
/// authority's must be on a list's issuer's word, and that list must be in time.
fn revocation<'l>(lists: &'l [&'l CertRevocationList<'l>]) -> Option<RevocationOptions<'l>> {
    let options = RevocationOptionsBuilder::new(lists).ok()?;
    let options = options
        .with_depth(RevocationCheckDepth::Chain)
        .with_status_policy(UnknownStatusPolicy::Deny)
        .with_expiration_policy(ExpirationPolicy::Enforce);
    Some(options.build())
}

fn wrong_dates(own: &CertificateDer<'_>, now: UnixTime) -> Vec<Wrong> {
    let Ok((_, parsed)) = X509Certificate::from_der(own) else {
        return vec![Wrong::Unreadable("no certificate".to_owned())];
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        vec![Wrong::Date(format!("not before {}", validity.not_before))]
    } else if now > validity.not_after.timestamp() {
        vec![Wrong::Date(format!("not after {}", validity.not_after))]
    } else {
        Vec::new()
    }
}

/// The ends of the spans in which the certificates are valid: if there is a time
/// at which all of them are, one of these is such a time.
fn times_of(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Vec<UnixTime> {
    let seconds = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let validity = parsed.validity();
        Some([
            validity.not_after.timestamp(),
            validity.not_before.timestamp(),
        ])
    };
    std::iter::once(own)
        .chain(others)
        .filter_map(seconds)
        .flatten()
        .filter_map(|seconds| u64::try_from(seconds).ok())
        .map(|seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
        .collect()
}

fn is_for_servers(own: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(own) else {
        return false;
    };
    match parsed.extended_key_usage() {
        Ok(Some(usage)) => usage.value.server_auth || usage.value.any,
        Ok(None) => true,
        Err(_) => false,
    }
}

fn is_of_date(error: &webpki::Error) -> bool {
    matches!(
        error,
        webpki::Error::CertExpired { .. }
            | webpki::Error::CertNotValidYet { .. }
            | webpki::Error::InvalidCertValidity
    )
}

fn of_revocation(error: &webpki::Error) -> Wrong {
    match error {
        webpki::Error::CertRevoked => Wrong::Revoked,
        webpki::Error::UnknownRevocationStatus => {
            Wrong::Revocation("there is no list of its issuer".to_owned())
        }
        webpki::Error::CrlExpired { .. } => {
            Wrong::Revocation("the list of its issuer has ended".to_owned())
        }
        other => Wrong::Revocation(in_short(other)),
    }
}

fn in_words(error: &webpki::Error) -> String {
    match error {
        webpki::Error::UnknownIssuer => "its issuer is unknown".to_owned(),
        error if is_of_date(error) => "no path to one was ever valid".to_owned(),
        webpki::Error::CaUsedAsEndEntity => "it is marked as an authority itself".to_owned(),
        other => in_short(other),
    }
}

/// Cut: an error can repeat long lists from the certificate.
fn in_short(error: &webpki::Error) -> String {
    error.to_string().chars().take(MAX_WORDS).collect()
}

/// Certificates that a server may show beside its own.
const MAX_OTHERS: usize = 10;

/// Characters of what is wrong.
const MAX_WORDS: usize = 160;

#[cfg(test)]
mod tests;
