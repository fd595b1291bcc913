//! What one connection has reached in logging on.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::SystemTime;

use super::Acceptor;
use super::AuthError;
use super::Caller;
use super::Peer;
use super::Seal;
use super::client_certificate::Terms;
use crate::config::Settings;

/// The security context of one TCP connection; nothing of it outlives the
/// connection, and no other connection sees it.
pub(crate) struct ConnectionAuth {
    peer: Peer,
    state: Mutex<State>,
}

/// How far the log-on is.
#[derive(Default)]
pub(super) enum State {
    /// Nobody has logged on to the connection itself.
    #[default]
    Nobody,
    /// A leg has been answered, the client must send the next one.
    Underway {
        /// The mechanism.
        scheme: &'static str,
        /// The attempt.
        acceptor: Box<dyn Acceptor>,
    },
    /// Somebody has.
    Established {
        /// By which mechanism.
        scheme: &'static str,
        /// Who; an error if he may do nothing.
        caller: Result<Caller, AuthError>,
        /// He must prove himself again when they no longer hold; without, he
        /// stays who he is until the connection ends.
        under: Option<Terms>,
        /// What protects the messages, if anything but TLS does.
        #[expect(dead_code, reason = "for log-on with several legs: NTLM, Kerberos")]
        seal: Option<Box<dyn Seal>>,
    },
}

impl ConnectionAuth {
    /// A connection from `peer` on which nobody has logged on.
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            state: Mutex::default(),
        }
    }

    /// The other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Who has logged on to the connection itself, and by which scheme, if
    /// anybody did (by `scheme`, if one is given), and if it still holds under
    /// the settings `now`.
    pub(super) fn caller(
        &self,
        scheme: Option<&str>,
        now: &Arc<Settings>,
    ) -> Option<(&'static str, Result<Caller, AuthError>)> {
        match &*self.lock() {
            State::Established {
                scheme: own,
                caller,
                under,
                ..
            } => {
                let holds = under
                    .as_ref()
                    .is_none_or(|terms| terms.hold(now, SystemTime::now()));
                (holds && scheme.is_none_or(|scheme| scheme == *own))
                    .then(|| (*own, caller.clone()))
            }
            State::Nobody | State::Underway { .. } => None,
        }
    }

    /// The attempt with `scheme` that is under way; another one ends here.
    pub(super) fn take_attempt(&self, scheme: &str) -> Option<Box<dyn Acceptor>> {
        let mut state = self.lock();
        if !matches!(&*state, State::Underway { .. }) {
            return None;
        }
        match std::mem::take(&mut *state) {
            State::Underway {
                scheme: own,
                acceptor,
            } if own == scheme => Some(acceptor),
            State::Nobody | State::Underway { .. } | State::Established { .. } => None,
        }
    }

    /// Sets how far the log-on is.
    pub(super) fn set(&self, state: State) {
        *self.lock() = state;
    }

    /// A panic leaves the state whole: each change is one assignment.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
