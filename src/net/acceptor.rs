//! What takes connections: TLS with the identity in force, asking clients for
//! certificates or not, as the settings want it.
//!
//! Each acceptor has an identity, and keeps the sessions of its connections for
//! itself: none is resumed that began under another certificate, or under
//! another trust in clients. So what binds log-ons to its connections is always
//! the certificate that they were shown.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::sign::SingleCertAndKey;
use tokio_rustls::TlsAcceptor;
use tracing::error;
use tracing::info;

use super::client_trust;
use super::client_trust::Hints;
use super::client_trust::Question;
use super::tls::Tls;
use super::tls::TlsError;
use crate::auth::ChannelBinding;
use crate::auth::ClientCertificate;
use crate::auth::ClientTrust;
use crate::auth::CurrentTrust;
use crate::auth::Identity;
use crate::auth::Sources;
use crate::auth::name_only;
use crate::auth::takes_certificates;
use crate::config::AccessSettings;
use crate::config::Settings;

/// What takes connections, as settings and identity want it.
#[derive(Debug)]
pub(crate) struct Acceptors {
    tls: Tls,
    /// By which client certificates are judged, those of live connections too.
    trust: Arc<CurrentTrust>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// For the settings that were in force last.
    latest: Arc<Acceptor>,
    /// For those that are about to be.
    prepared: Option<Arc<ClientTrust>>,
    /// What could not be read: it is not tried for every connection.
    unreadable: Option<Sources>,
}

/// What takes connections.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) handshake: TlsAcceptor,
    /// What binds log-ons to its connections.
    pub(super) end_point: ChannelBinding,
    identity: Arc<Identity>,
    /// Whom it asks for certificates; without, nobody.
    asks: Option<Asks>,
    /// The settings that it was last found right for.
    settings: Arc<Settings>,
}

/// How clients are asked for certificates.
#[derive(Clone)]
struct Asks {
    /// By what they are judged.
    trust: Arc<CurrentTrust>,
    /// What that was.
    now: Arc<ClientTrust>,
    hints: Hints,
}

impl Acceptors {
    /// What `settings` ask for.
    ///
    /// # Errors
    ///
    /// [`TlsError`], of the authorities of client certificates or their lists.
    pub(super) fn new(tls: &Tls, settings: &Arc<Settings>) -> Result<Self, TlsError> {
        let trust = match wanted(&settings.access) {
            Some(sources) => client_trust::load(sources)?,
            None => client_trust::load(Sources::default())?,
        };
        let trust = Arc::new(CurrentTrust::new(trust));
        let asks = takes_certificates(&settings.access).then(|| Asks::new(&trust, settings));
        let latest = Arc::new(Acceptor::new(tls.identity().get(), asks, settings)?);
        Ok(Self {
            tls: tls.clone(),
            trust,
            known: Mutex::new(Known {
                latest,
                prepared: None,
                unreadable: None,
            }),
        })
    }

    /// Reads what `access` asks for, before it is in force: what was read here
    /// is what [`Self::under`] takes then. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// [`TlsError`]: `access` must not be put in force.
    pub(crate) fn prepare(&self, access: &AccessSettings) -> Result<(), TlsError> {
        let Some(sources) = wanted(access) else {
            return Ok(());
        };
        if *self.trust.get().sources() == sources && self.lock().latest.asks.is_some() {
            return Ok(());
        }
        let prepared = Arc::new(client_trust::load(sources)?);
        self.lock().prepared = Some(prepared);
        Ok(())
    }

    /// Reads again whose client certificates are believed, if any are taken
    /// under `access`: connections that live are judged by it too. Blocks.
    ///
    /// # Errors
    ///
    /// [`TlsError`]; all is as it was then.
    pub(super) fn reload(&self, access: &AccessSettings) -> Result<(), TlsError> {
        let Some(sources) = wanted(access) else {
            return Ok(());
        };
        let new = client_trust::load(sources)?;
        let mut known = self.lock();
        let was_unreadable = known.unreadable.take().is_some();
        if was_unreadable || self.trust.get().sources() != new.sources() {
            // Not in force yet: nobody has connected since the settings came,
            // or they could not be read then.
            known.prepared = Some(Arc::new(new));
        } else if !self.trust.get().is_same_as(&new) {
            self.put_in_force(Arc::new(new));
        }
        Ok(())
    }

    /// Whose client certificates are believed.
    pub(super) fn trust(&self) -> Arc<ClientTrust> {
        self.trust.get()
    }

    /// What takes a connection under `settings`. Authorities that nobody has
    /// prepared and that cannot be read are as none: an error goes to the log,
    /// and nobody is asked.
    pub(super) fn under(&self, settings: &Arc<Settings>) -> Arc<Acceptor> {
        let identity = self.tls.identity().get();
        let mut known = self.lock();
        let asks_as_wanted = known.latest.asks.is_some() == takes_certificates(&settings.access);
        if known.latest.is_for(settings, &identity)
            && (asks_as_wanted || known.unreadable.is_some())
        {
            return Arc::clone(&known.latest);
        }
        let asks = self.asks(&mut known, settings);
        let next = known
            .latest
            .turned_to(Arc::clone(&identity), asks, settings)
            .or_else(|cause| {
                error!(
                    cause = &cause as &dyn std::error::Error,
                    "Client certificates are not taken"
                );
                Acceptor::new(identity, None, settings)
            });
        match next {
            Ok(next) => known.latest = Arc::new(next),
            Err(cause) => error!(
                cause = &cause as &dyn std::error::Error,
                "TLS stays as it was"
            ),
        }
        Arc::clone(&known.latest)
    }

    /// How clients are asked under `settings`; puts the trust in force that
    /// they want.
    fn asks(&self, known: &mut Known, settings: &Arc<Settings>) -> Option<Asks> {
        let sources = wanted(&settings.access)?;
        let was_asking = known.latest.asks.is_some();
        if !was_asking || *self.trust.get().sources() != sources {
            if known.unreadable.as_ref() == Some(&sources) {
                return None;
            }
            let prepared = known.prepared.take();
            let prepared = prepared.filter(|prepared| *prepared.sources() == sources);
            let read = || client_trust::load(sources.clone()).map(Arc::new);
            match prepared.map_or_else(read, Ok) {
                Ok(trust) => self.put_in_force(trust),
                Err(cause) => {
                    error!(
                        cause = &cause as &dyn std::error::Error,
                        "Client certificates are not taken"
                    );
                    known.unreadable = Some(sources);
                    return None;
                }
            }
        }
        known.unreadable = None;
        Some(Asks::new(&self.trust, settings))
    }

    fn put_in_force(&self, trust: Arc<ClientTrust>) {
        let Sources {
            authorities,
            revocation_lists,
        } = trust.sources();
        info!(
            ?authorities,
            ?revocation_lists,
            "Authorities of client certificates changed"
        );
        self.trust.set(trust);
    }

    /// Each change is one assignment: a panic leaves it whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asks {
    fn new(trust: &Arc<CurrentTrust>, settings: &Settings) -> Self {
        let now = trust.get();
        let authorities = now.authorities().map(AsRef::as_ref);
        let hints = if name_only(&settings.access.certificate_mappings, authorities) {
            Hints::Authorities
        } else {
            Hints::Nobody
        };
        Self {
            trust: Arc::clone(trust),
            now,
            hints,
        }
    }

    fn is_same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.now, &other.now) && self.hints == other.hints
    }

    /// The trust is still the one that it asks for.
    fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.now, &self.trust.get())
    }
}

impl Acceptor {
    fn new(
        identity: Arc<Identity>,
        asks: Option<Asks>,
        settings: &Arc<Settings>,
    ) -> Result<Self, TlsError> {
        let config = config(&identity, asks.as_ref()).map_err(TlsError::Refused)?;
        Ok(Self {
            handshake: TlsAcceptor::from(Arc::new(config)),
            end_point: identity.end_point.clone(),
            identity,
            asks,
            settings: Arc::clone(settings),
        })
    }

    /// The same for other settings, and with its sessions if they change nothing
    /// of TLS; else another one.
    fn turned_to(
        &self,
        identity: Arc<Identity>,
        asks: Option<Asks>,
        settings: &Arc<Settings>,
    ) -> Result<Self, TlsError> {
        let asks_the_same = match (&self.asks, &asks) {
            (Some(own), Some(other)) => own.is_same_as(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if Arc::ptr_eq(&self.identity, &identity) && asks_the_same {
            return Ok(Self {
                settings: Arc::clone(settings),
                ..self.clone()
            });
        }
        Self::new(identity, asks, settings)
    }

    /// It is what these want, and nothing has changed since.
    fn is_for(&self, settings: &Arc<Settings>, identity: &Arc<Identity>) -> bool {
        Arc::ptr_eq(&self.settings, settings)
            && Arc::ptr_eq(&self.identity, identity)
            && self.asks.as_ref().is_none_or(Asks::is_current)
    }

    /// What a client has shown in the handshake, if he was asked.
    pub(super) fn client_certificate(
        &self,
        chain: &[CertificateDer<'_>],
    ) -> Option<ClientCertificate> {
        let asks = self.asks.as_ref()?;
        Some(ClientCertificate::new(chain, Arc::clone(&asks.trust)))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.asks.as_ref().map(|asks| asks.now.sources());
        f.debug_struct("Acceptor")
            .field("asks", &sources)
            .finish_non_exhaustive()
    }
}

/// TLS 1.2 and 1.3 with an identity; sessions are kept by each for itself.
fn config(identity: &Identity, asks: Option<&Asks>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match asks {
        Some(asks) => builder.with_client_cert_verifier(Question::new(&asks.now, asks.hints)),
        None => builder.with_no_client_auth(),
    };
    let resolver = SingleCertAndKey::from(Arc::clone(&identity.key));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Where it stands whose client certificates are believed, if any are to be
/// asked for.
fn wanted(access: &AccessSettings) -> Option<Sources> {
    takes_certificates(access).then(|| Sources::of(access))
}

#[cfg(test)]
mod tests;
