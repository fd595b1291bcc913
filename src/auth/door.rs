//! Lets requests in, or says why not.

use std::sync::Arc;

use tracing::debug;
use tracing::info;
use tracing::warn;

use super::AUDIT;
use super::AuthError;
use super::Caller;
use super::Channel;
use super::ConnectionAuth;
use super::CurrentIdentity;
use super::Holds;
use super::Mechanism;
use super::Offered;
use super::Peer;
use super::Proof;
use super::Step;
use super::Users;
use super::access::Access;
use super::basic::Basic;
use super::certificate;
use super::connection::State;
use crate::config::AccessSettings;
use crate::config::Current;
use crate::telemetry::counters::Counter;

/// Where every request must pass.
#[derive(Debug)]
pub(crate) struct Door {
    mechanisms: Vec<Mechanism>,
    access: Access,
    /// The ways to log on follow them at run time; the lists do not.
    settings: Arc<Current>,
}

/// What the door works with.
#[derive(Debug)]
pub(crate) struct Means {
    /// The accounts of the user file.
    pub(crate) users: Arc<Users>,
    /// The settings in force.
    pub(crate) settings: Arc<Current>,
    /// Who the server is.
    pub(crate) identity: Arc<CurrentIdentity>,
}

/// What the door says to a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// Come in. The token, if there is one, goes back in `WWW-Authenticate`.
    Admitted(Caller, Option<String>),
    /// The log-on goes on: 401 with this challenge and no other.
    Continue(String),
    /// He has proved who he is, and needs this token to read that he may do
    /// nothing: `AccessDenied`.
    Forbidden(String),
}

impl Door {
    /// A door for the accounts that the settings list.
    pub(crate) fn new(means: Means) -> Self {
        let Means {
            users, settings, ..
        } = means;
        let now = settings.get();
        let basic = Basic::new(users, now.wsman.max_waiting_logons);
        Self {
            mechanisms: vec![
                basic.mechanism(),
                certificate::mechanism(Arc::clone(&settings)),
            ],
            access: Access::new(&now.access),
            settings,
        }
    }

    /// What a 401 to `peer` offers, one header each.
    pub(crate) fn challenges(&self, peer: &Peer) -> impl Iterator<Item = &'static str> {
        let (channel, now) = (peer.channel.clone(), self.settings.get());
        self.mechanisms
            .iter()
            .filter(move |mechanism| mechanism.is_for(&channel, &now.access))
            .filter_map(|mechanism| mechanism.challenge)
    }

    /// Lets a request in that came over `connection` with this value of the
    /// `Authorization` header. Without one, whoever has logged on to the
    /// connection comes in again, or logs on by its certificate.
    ///
    /// When the future is dropped, a log-on of several legs has failed; the
    /// connection is gone then anyway.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub(crate) async fn admit(
        &self,
        connection: &ConnectionAuth,
        authorization: Option<&str>,
    ) -> Result<Admission, AuthError> {
        let now = self.settings.get();
        let peer = connection.peer();
        let (scheme, token) = match authorization {
            Some(text) => text.split_once(' ').unwrap_or((text, "")),
            None => (certificate::SCHEME, ""),
        };
        let is_by_certificate = scheme.eq_ignore_ascii_case(certificate::SCHEME);
        if is_by_certificate {
            // A header that announces a certificate means no other log-on.
            let wanted = authorization.and(Some(certificate::SCHEME));
            if let Some((scheme, caller)) = connection.caller(wanted, &now)
                && self.mechanism(scheme, peer, &now.access).is_some()
            {
                return caller.map(|caller| Admission::Admitted(caller, None));
            }
            if authorization.is_none() && peer.certificate.is_none() {
                return Err(AuthError::Refused);
            }
        }
        let Some(mechanism) = self.mechanism(scheme, peer, &now.access) else {
            return Err(AuthError::Refused);
        };
        let mut acceptor = connection
            .take_attempt(mechanism.scheme)
            .unwrap_or_else(|| (mechanism.start)(peer));
        let step = acceptor.step(token.trim_matches(' ')).await;
        let address = peer.address;
        let done = match step {
            Ok(Step::Continue(token)) => {
                connection.set(State::Underway {
                    scheme: mechanism.scheme,
                    acceptor,
                });
                return Ok(Admission::Continue(format!("{} {token}", mechanism.scheme)));
            }
            Ok(Step::Done(done)) => done,
            Err(error) => {
                connection.set(State::Nobody);
                let account = acceptor.claimed();
                // What costs the client nothing must not fill the log.
                if error == AuthError::Refused {
                    Counter::LogOnRefused.bump();
                    let scheme = mechanism.scheme;
                    warn!(target: AUDIT, %address, scheme, account, "Log-on refused");
                } else {
                    debug!(target: AUDIT, %address, %error, "Log-on not tried");
                }
                return Err(error);
            }
        };
        // A fresh proof may have taken its time: the mechanism can have been
        // switched off since.
        if done.proof == Proof::Fresh
            && !mechanism.is_for(&peer.channel, &self.settings.get().access)
        {
            connection.set(State::Nobody);
            return Err(AuthError::Refused);
        }
        let fresh = (done.proof == Proof::Fresh).then(|| done.who.to_string());
        let caller = self.access.caller(done.who).ok_or(AuthError::Forbidden);
        match (&caller, fresh) {
            (Ok(caller), Some(who)) => {
                Counter::LoggedOn.bump();
                let (scheme, scope) = (mechanism.scheme, caller.scope());
                info!(target: AUDIT, %address, scheme, account = %caller, who, ?scope, "Logged on");
            }
            (Err(_), Some(who)) => {
                warn!(target: AUDIT, %address, who, "Logged on, but in no list of [access]");
            }
            (Ok(_) | Err(_), None) => {}
        }
        let established = |under, seal| State::Established {
            scheme: mechanism.scheme,
            caller: caller.clone(),
            under,
            seal,
        };
        match done.holds {
            Holds::Settings { settings, until } => {
                connection.set(established(Some((settings, until)), None));
            }
            // With whoever may do nothing too: what tells him so is sealed.
            Holds::Connection(seal) => connection.set(established(None, seal)),
            Holds::Request if caller.is_ok() => {}
            Holds::Request => connection.set(State::Nobody),
        }
        let token = done
            .token
            .map(|token| format!("{} {token}", mechanism.scheme));
        match (caller, token) {
            (Ok(caller), token) => Ok(Admission::Admitted(caller, token)),
            (Err(AuthError::Forbidden), Some(token)) => Ok(Admission::Forbidden(token)),
            (Err(error), _) => Err(error),
        }
    }

    /// The mechanism of a scheme, if it is taken from `peer`.
    fn mechanism(&self, scheme: &str, peer: &Peer, access: &AccessSettings) -> Option<&Mechanism> {
        self.mechanisms.iter().find(|mechanism| {
            mechanism.scheme.eq_ignore_ascii_case(scheme) && mechanism.is_for(&peer.channel, access)
        })
    }

    /// A door with the mechanisms of a test, and one account that may come in.
    #[cfg(test)]
    pub(super) fn for_test(mechanisms: Vec<Mechanism>, account: &str) -> Self {
        let access = AccessSettings {
            users: vec![account.to_owned()],
            ..AccessSettings::default()
        };
        let settings = crate::config::Settings {
            access,
            ..crate::config::Settings::default()
        };
        Self::with_mechanisms(mechanisms, &Arc::new(Current::new(settings)))
    }

    /// A door with the mechanisms of a test.
    #[cfg(test)]
    pub(super) fn with_mechanisms(mechanisms: Vec<Mechanism>, settings: &Arc<Current>) -> Self {
        Self {
            mechanisms,
            access: Access::new(&settings.get().access),
            settings: Arc::clone(settings),
        }
    }
}

impl Mechanism {
    /// Holds when it is offered, and taken, on such a connection.
    fn is_for(&self, channel: &Channel, access: &AccessSettings) -> bool {
        (self.is_in_force)(access) && self.is_over(channel, access)
    }

    fn is_over(&self, channel: &Channel, access: &AccessSettings) -> bool {
        let is_tls = matches!(channel, Channel::Tls(_));
        match self.offered {
            Offered::Always => true,
            Offered::OverTls => is_tls,
            Offered::OverTlsOrAllowed => is_tls || access.allow_unencrypted,
        }
    }
}

#[cfg(test)]
mod tests;
