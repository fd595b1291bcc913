//! Lets requests in, or says why not.
//!
//! A failed log-on counts for its account and its address ([`super::lockout`]),
//! and its answer is held back. Whoever is locked out gets the answer that a
//! wrong password gets:
//!
//! - A locked *address* is refused before any work: it learns that it is
//!   locked, which is no secret, and costs nothing.
//! - A locked *account* is refused after all of the work, at the leg at which a
//!   wrong password would be, and counts for the address as one: nothing tells
//!   whether the password was right.
//!
//! What is no failure: a log-on without channel binding where there must be
//! one (some clients find it at the second try); one with another binding (a
//! proxy that ends TLS would have all of its clients locked out); what is no
//! log-on at all; and what we cannot check just now. A client certificate is
//! TLS's business, and is taken from a locked address too.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::AUDIT;
use super::Acceptor;
use super::Attempts;
use super::AuthError;
use super::Caller;
use super::Channel;
use super::ConnectionAuth;
use super::CurrentIdentity;
use super::Holds;
use super::Kerberos;
use super::LoggedOn;
use super::Mechanism;
use super::Offered;
use super::Pam;
use super::Peer;
use super::Proof;
use super::Proved;
use super::Step;
use super::Users;
use super::Within;
use super::access::Access;
use super::attempts::Bar;
use super::audit::Attempted;
use super::audit::Audit;
use super::audit::Why;
use super::basic::Basic;
use super::certificate;
use super::connection::State;
use super::credssp::CredSsp;
use super::exchange::Start;
use super::lockout::Source;
use super::negotiate::Negotiate;
use super::ntlm_exchange::Ntlm;
use super::passwords::Passwords;
use super::users::Secrets;
use crate::config::AccessSettings;
use crate::config::Current;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;

/// Where every request must pass.
#[derive(Debug)]
pub(crate) struct Door {
    mechanisms: Vec<Mechanism>,
    access: Arc<Access>,
    users: Arc<Users>,
    attempts: Arc<Attempts>,
    audit: Audit,
    /// The ways to log on follow them at run time; the lists do not.
    settings: Arc<Current>,
}

/// What the door works with.
#[derive(Debug)]
pub(crate) struct Means {
    /// The accounts of the user file.
    pub(crate) users: Arc<Users>,
    /// What accounts may do.
    pub(crate) access: Arc<Access>,
    /// The accounts of the host, if they are those of `Basic`.
    pub(crate) pam: Option<Arc<Pam>>,
    /// The service in its realm, if it has keys there.
    pub(crate) kerberos: Option<Arc<Kerberos>>,
    /// Failed log-ons.
    pub(crate) attempts: Arc<Attempts>,
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
    /// The log-on has failed, and the mechanism says why: 401 with this
    /// challenge and no other.
    Refused(String),
    /// He has proved who he is, and needs this token to read that he may do
    /// nothing: `AccessDenied`.
    Forbidden(String),
}

impl Door {
    /// A door for the accounts that the settings list.
    pub(crate) fn new(means: Means) -> Self {
        let Means {
            users,
            access,
            pam,
            kerberos,
            attempts,
            settings,
            identity,
        } = means;
        let passwords = match pam {
            Some(pam) => Passwords::Pam {
                pam,
                access: Arc::clone(&access),
            },
            None => Passwords::of_file(Arc::clone(&users)),
        };
        let basic = Basic::new(passwords, settings.get().wsman.max_waiting_logons);
        let ntlm: Arc<dyn Start> = Arc::new(Ntlm::new(Arc::clone(&users), Arc::clone(&settings)));
        let kerberos = kerberos.map(|kerberos| -> Arc<dyn Start> { kerberos });
        let negotiate = Negotiate::new(ntlm, kerberos, Arc::clone(&settings));
        let is_locked = {
            let attempts = Arc::clone(&attempts);
            Arc::new(move |account: &str, from| attempts.is_locked(account, Source::of(from)))
        };
        let credssp = CredSsp::new(Arc::new(negotiate.clone()), identity, is_locked);
        let mut mechanisms = negotiate.mechanisms();
        mechanisms.push(credssp.mechanism());
        mechanisms.push(basic.mechanism());
        mechanisms.push(certificate::mechanism(Arc::clone(&settings)));
        Self {
            mechanisms,
            access,
            users,
            attempts,
            audit: Audit::default(),
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
            let is_line = |name: &str, line: &Secrets| self.line(name).as_ref() == Some(line);
            let is_on = |scheme: &str, within: Option<Within>| {
                self.mechanism(scheme, peer, &now.access).is_some()
                    && within.is_none_or(|within| within.is_on(&now.access))
            };
            if let Some(caller) = connection.caller(wanted, &now, is_on, is_line) {
                return caller.map(|caller| Admission::Admitted(caller, None));
            }
            if authorization.is_none() && peer.certificate.is_none() {
                return Err(AuthError::Refused);
            }
        }
        let Some(mechanism) = self.mechanism(scheme, peer, &now.access) else {
            return Err(AuthError::Refused);
        };
        if !is_by_certificate {
            self.check_address(connection, mechanism)?;
        }
        let attempt = connection.take_attempt(mechanism.scheme);
        let (mut acceptor, legs, since) =
            attempt.unwrap_or_else(|| ((mechanism.start)(peer), 0, Instant::now()));
        let token = token.trim_matches(' ');
        let step = self.step(peer, &mut *acceptor, token).await;
        match step {
            Ok(Step::Continue(token)) if legs < MOST_LEGS => {
                connection.set(State::Underway {
                    scheme: mechanism.scheme,
                    acceptor,
                    legs: legs + 1,
                    since,
                });
                Ok(Admission::Continue(format!("{} {token}", mechanism.scheme)))
            }
            Ok(Step::Done(done)) => self.welcome(connection, mechanism, done),
            Ok(Step::Continue(_)) => {
                let error = Failed::Otherwise(AuthError::Malformed);
                Err(self.refuse(connection, mechanism, None, &error).await)
            }
            Err(error) => {
                let account = acceptor.claimed();
                let verdict = self.refuse(connection, mechanism, account, &error).await;
                match acceptor.farewell() {
                    Some(token) => Ok(Admission::Refused(format!("{} {token}", mechanism.scheme))),
                    None => Err(verdict),
                }
            }
        }
    }

    /// Takes a leg of an attempt. An account that is locked out is refused
    /// here, whatever the leg came to.
    async fn step(
        &self,
        peer: &Peer,
        acceptor: &mut dyn Acceptor,
        token: &str,
    ) -> Result<Step, Failed> {
        let source = Source::of(peer.address.ip());
        let is_locked = |account: &str| self.attempts.is_locked(account, source);
        let step = acceptor.step(token).await;
        if let Ok(Step::Done(done)) = &step
            && let Proved::Account(account) = &done.who
        {
            let account = Arc::clone(account);
            if !is_locked(&account) {
                return step.map_err(Failed::Otherwise);
            }
            if done.proof == Proof::Remembered {
                // Whether it is right is not asked: it takes the time of a
                // check. But where there was none, a wrong one had none either.
                let checked = acceptor.step_afresh(token).await;
                if let Err(error @ (AuthError::Busy | AuthError::Unavailable)) = checked {
                    return Err(Failed::Otherwise(error));
                }
            }
            return Err(Failed::Locked(account));
        }
        let is_answer = !matches!(step, Err(AuthError::Busy | AuthError::Unavailable));
        if let Some(account) = acceptor.claimed()
            && is_answer
            && is_locked(account)
        {
            return Err(Failed::Locked(Arc::from(account)));
        }
        step.map_err(Failed::Otherwise)
    }

    /// Refuses an address that is locked, or has too many answers held back.
    ///
    /// # Errors
    ///
    /// [`AuthError::Refused`] and [`AuthError::Busy`].
    fn check_address(
        &self,
        connection: &ConnectionAuth,
        mechanism: &Mechanism,
    ) -> Result<(), AuthError> {
        let address = connection.peer().address;
        let Some(bar) = self.attempts.bar(Source::of(address.ip())) else {
            return Ok(());
        };
        connection.set(State::Nobody);
        match bar {
            Bar::Locked => {
                connection.fail();
                let by = Attempted {
                    address,
                    scheme: mechanism.scheme,
                    account: None,
                };
                self.audit.refused(by, Why::AddressLocked);
                Err(AuthError::Refused)
            }
            Bar::Busy => {
                Counter::Refused(Limit::WaitingLogOns).bump();
                Err(AuthError::Busy)
            }
        }
    }

    /// Lets somebody in who has proved who he is, if he may do anything.
    fn welcome(
        &self,
        connection: &ConnectionAuth,
        mechanism: &Mechanism,
        done: LoggedOn,
    ) -> Result<Admission, AuthError> {
        let peer = connection.peer();
        // A fresh proof may have taken its time: the mechanism can have been
        // switched off since.
        if done.proof == Proof::Fresh
            && !mechanism.is_for(&peer.channel, &self.settings.get().access)
        {
            connection.set(State::Nobody);
            return Err(AuthError::Refused);
        }
        let mut line = None;
        if let (Proved::Account(account), Holds::Connection(seal)) = (&done.who, &done.holds) {
            let own = self.line(account);
            let within = seal.as_ref().and_then(|seal| seal.mechanism());
            // Removed since, while the last legs of `CredSSP` came: no line
            // would say so later.
            if own.is_none() && within == Some(Within::Ntlm) {
                connection.set(State::Nobody);
                return Err(AuthError::Refused);
            }
            line = own.map(|own| (Arc::clone(account), own));
        }
        connection.succeed();
        if let Proved::Account(account) = &done.who {
            self.attempts
                .succeed(account, Source::of(peer.address.ip()));
        }
        let fresh = (done.proof == Proof::Fresh).then(|| done.who.to_string());
        let caller = self.access.caller(done.who, peer.address.ip());
        if let Some(who) = fresh {
            let by = Attempted {
                address: peer.address,
                scheme: mechanism.scheme,
                account: None,
            };
            match &caller {
                Ok(caller) => {
                    let inner = match &done.holds {
                        Holds::Connection(Some(seal)) => seal.mechanism(),
                        Holds::Connection(None) | Holds::Request | Holds::Terms(_) => None,
                    };
                    Audit::logged_on(by, inner, caller, &who, done.bound);
                }
                Err(denial) => Audit::forbidden(by, &who, *denial),
            }
        }
        let caller = caller.map_err(|_| AuthError::Forbidden);
        let established = |under, line, seal| State::Established {
            scheme: mechanism.scheme,
            caller: caller.clone(),
            under,
            line,
            since: Instant::now(),
            seal,
        };
        match done.holds {
            Holds::Terms(terms) => connection.set(established(Some(terms), None, None)),
            // With whoever may do nothing too: what tells him so is sealed.
            Holds::Connection(seal) => connection.set(established(None, line, seal)),
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

    /// Holds while somebody could log on by `scheme`.
    pub(super) fn takes(&self, scheme: &str) -> bool {
        let now = self.settings.get();
        // Names first: to know what is in force can take a look at a file.
        let mut named = self.mechanisms.iter().filter(|own| own.scheme == scheme);
        named.any(|mechanism| (mechanism.is_in_force)(&now.access))
    }

    /// The schemes by which somebody could log on under `access`.
    pub(super) fn schemes_under(&self, access: &AccessSettings) -> impl Iterator<Item = &str> {
        let in_force = self
            .mechanisms
            .iter()
            .filter(|mechanism| (mechanism.is_in_force)(access));
        in_force.map(|mechanism| mechanism.scheme)
    }

    /// Ends an attempt that has failed: counts it, tells of it, and holds its
    /// answer back.
    async fn refuse(
        &self,
        connection: &ConnectionAuth,
        mechanism: &Mechanism,
        account: Option<&str>,
        failed: &Failed,
    ) -> AuthError {
        connection.set(State::Nobody);
        let address = connection.peer().address;
        let source = Source::of(address.ip());
        let (account, why, error) = match failed {
            Failed::Locked(account) => (Some(&**account), Why::AccountLocked, AuthError::Refused),
            Failed::Otherwise(error) => (account, Why::NotProved, *error),
        };
        let by = Attempted {
            address,
            scheme: mechanism.scheme,
            account,
        };
        match error {
            AuthError::Refused => {
                connection.fail();
                let struck = self.attempts.fail(account, source);
                self.audit.refused(by, why);
                let seconds = self.settings.get().access.lockout_duration_s;
                let duration = Duration::from_secs(seconds);
                if struck.locks_account {
                    self.audit.account_locked(by, duration);
                }
                if struck.locks_source {
                    self.audit.address_locked(by, duration);
                }
                self.attempts.hold(source, struck.held).await;
            }
            AuthError::Unbound => {
                connection.fail();
                self.audit.unbound(by);
            }
            AuthError::WrongBinding => {
                connection.fail();
                self.audit.misbound(by);
            }
            // What costs the client nothing must not fill the log.
            AuthError::Malformed => {
                connection.fail();
                debug!(target: AUDIT, %address, %error, "Log-on not tried");
            }
            // Nothing was guessed: a certificate may become good while its
            // connection lives.
            AuthError::NoCertificate
            | AuthError::Forbidden
            | AuthError::Busy
            | AuthError::Unavailable => {
                debug!(target: AUDIT, %address, %error, "Log-on not tried");
            }
        }
        error
    }

    /// What the user file has of an account: another password is another line.
    fn line(&self, account: &str) -> Option<Secrets> {
        self.users.accounts().ok()?.secrets(account)
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
        let nowhere = std::path::Path::new("/nonexistent/users");
        Self {
            mechanisms,
            access: Arc::new(Access::new(&settings.get().access)),
            users: Arc::new(Users::open(nowhere).expect("no file is no error")),
            attempts: Attempts::for_test(settings, || {
                super::lockout::Moment::of(std::time::SystemTime::now())
            }),
            audit: Audit::default(),
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

/// Why an attempt has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Failed {
    /// The account is locked out, whatever was proved.
    Locked(Arc<str>),
    /// As the mechanism says.
    Otherwise(AuthError),
}

/// Legs of one attempt that are answered by another one. `CredSSP` with
/// Kerberos inside takes some ten.
const MOST_LEGS: u32 = 32;

#[cfg(test)]
mod tests;
