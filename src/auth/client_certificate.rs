//! The certificate that a client has shown on a connection.
//!
//! TLS has proved that he has its key. Whether it is good is judged here, by
//! the authorities and lists in force, and again when those change: a connection
//! can live longer than the trust in its client.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use super::client_trust::ClientTrust;
use super::client_trust::CurrentTrust;
use super::client_trust::MAX_INTERMEDIATES;
#[cfg(test)]
use super::client_trust::Sources;
use super::client_trust::Unverified;
use super::holder::Holder;
use super::holder::Standing;
use super::mapping;
use crate::config::Settings;

/// What a client has shown, whose key he has. It is not known to be good until
/// [`Self::believe`] says so.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// His own certificate first.
    chain: Vec<CertificateDer<'static>>,
    trust: Arc<CurrentTrust>,
    judged: Mutex<Option<Judged>>,
}

/// What a certificate was found to be.
#[derive(Clone, Debug)]
struct Judged {
    by: Arc<ClientTrust>,
    /// The last instant; without, as long as `by` is in force.
    until: Option<SystemTime>,
    verdict: Result<Arc<Holder>, Unverified>,
}

/// A certificate that is believed.
#[derive(Debug)]
pub(super) struct Believed {
    pub(super) holder: Arc<Holder>,
    pub(super) terms: Terms,
}

/// Under what a proof holds that can be taken back.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    settings: Arc<Settings>,
    trust: Arc<CurrentTrust>,
    /// What `trust` was.
    by: Arc<ClientTrust>,
    /// The last instant.
    until: SystemTime,
}

/// A certificate that is not believed.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Disbelieved {
    /// What is wrong.
    pub(super) reason: Unverified,
    /// It has been judged just now.
    pub(super) is_news: bool,
}

impl ClientCertificate {
    /// What a client has shown, to be judged by `trust`.
    pub(crate) fn new(chain: &[CertificateDer<'_>], trust: Arc<CurrentTrust>) -> Self {
        // One more than is allowed: then it is too long.
        let chain = chain.iter().take(MAX_INTERMEDIATES + 2);
        Self {
            chain: chain.map(|one| one.clone().into_owned()).collect(),
            trust,
            judged: Mutex::default(),
        }
    }

    /// Says whether it is good under `settings` at `now`.
    ///
    /// # Errors
    ///
    /// [`Unverified`].
    pub(crate) fn check(
        &self,
        settings: &Arc<Settings>,
        now: SystemTime,
    ) -> Result<(), Unverified> {
        let believed = self.believe(settings, now);
        believed.map(drop).map_err(|not| not.reason)
    }

    /// Who holds it, and under what that holds.
    ///
    /// # Errors
    ///
    /// [`Disbelieved`].
    pub(super) fn believe(
        &self,
        settings: &Arc<Settings>,
        now: SystemTime,
    ) -> Result<Believed, Disbelieved> {
        let (judged, is_news) = self.judge(now);
        let not = |reason| Disbelieved { reason, is_news };
        let access = &settings.access;
        if !judged.by.sources().are_those_of(access) {
            return Err(not(Unverified::Elsewhere));
        }
        let holder = judged.verdict.map_err(not)?;
        if let Standing::Alone(why) = holder.standing()
            && !mapping::is_named(&access.certificate_mappings, &holder)
        {
            return Err(not(why.clone()));
        }
        let terms = Terms {
            settings: Arc::clone(settings),
            trust: Arc::clone(&self.trust),
            by: judged.by,
            until: judged.until.unwrap_or_else(|| holder.not_after()),
        };
        Ok(Believed { holder, terms })
    }

    /// What it is found to be, and whether that is news.
    fn judge(&self, now: SystemTime) -> (Judged, bool) {
        let by = self.trust.get();
        // The change is one assignment: a panic leaves it whole.
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*judged
            && Arc::ptr_eq(&known.by, &by)
            && known.until.is_none_or(|until| now <= until)
        {
            return (known.clone(), false);
        }
        let verdict = by.judge(&self.chain, now).map(Arc::new);
        let until = verdict.as_ref().ok().map(|holder| {
            let list = by.holds_until(now);
            list.map_or(holder.not_after(), |list| list.min(holder.not_after()))
        });
        let found = Judged { by, until, verdict };
        *judged = Some(found.clone());
        (found, true)
    }

    /// One that is believed by the authorities in the file `authorities`, which
    /// are nobody's.
    #[cfg(test)]
    fn of(holder: Holder, authorities: &str) -> Self {
        let sources = Sources {
            authorities: Some(authorities.into()),
            revocation_lists: Vec::new(),
        };
        let trust = Arc::new(CurrentTrust::new(ClientTrust::new(
            sources,
            Vec::new(),
            Vec::new(),
        )));
        let judged = Judged {
            by: trust.get(),
            until: Some(holder.not_after()),
            verdict: Ok(Arc::new(holder)),
        };
        Self {
            chain: Vec::new(),
            trust,
            judged: Mutex::new(Some(judged)),
        }
    }
}

impl Terms {
    /// Holds under the settings `now`, at this instant.
    pub(super) fn hold(&self, now: &Arc<Settings>, at: SystemTime) -> bool {
        // What is compared is kept here, so nothing else is at its address.
        Arc::ptr_eq(&self.settings, now)
            && Arc::ptr_eq(&self.by, &self.trust.get())
            && at <= self.until
    }
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && Arc::ptr_eq(&self.trust, &other.trust)
    }
}

impl Eq for ClientCertificate {}

#[cfg(test)]
pub(super) mod tests {
    use super::super::holder::tests::holder;
    use super::*;

    pub(in crate::auth) const AUTHORITIES: &str = "/etc/authorities.pem";

    /// A certificate of `common`, whose issuer is known by `issuer`.
    pub(in crate::auth) fn certificate(common: &str, issuer: &[u8]) -> ClientCertificate {
        ClientCertificate::of(holder(common, issuer), AUTHORITIES)
    }
}
