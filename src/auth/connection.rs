//! What one connection has reached in logging on.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use tokio::time::Instant;

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
    /// Log-ons that have failed since one succeeded.
    failures: AtomicU32,
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
        /// Legs that have been answered.
        legs: u32,
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
        /// The account's line in the user file, if it has one, and when he
        /// logged on: with another line, and after [`LONGEST`], he must prove
        /// himself again.
        line: Option<(Arc<str>, Arc<str>)>,
        /// When he logged on.
        since: Instant,
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
            failures: AtomicU32::new(0),
        }
    }

    /// The other end.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Who has logged on to the connection itself, and by which scheme, if
    /// anybody did (by `scheme`, if one is given), and if it still holds under
    /// the settings `now`. `is_line` says whether an account still has a line
    /// of the user file; a log-on that holds no longer ends here, with its
    /// keys.
    pub(super) fn caller(
        &self,
        scheme: Option<&str>,
        now: &Arc<Settings>,
        is_line: impl FnOnce(&str, &str) -> bool,
    ) -> Option<(&'static str, Result<Caller, AuthError>)> {
        let mut state = self.lock();
        if let State::Established { line, since, .. } = &*state {
            let has_line = line.as_ref().is_none_or(|(name, line)| is_line(name, line));
            if !has_line || since.elapsed() >= LONGEST {
                *state = State::Nobody;
            }
        }
        match &*state {
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

    /// The attempt with `scheme` that is under way, and its legs; another one
    /// ends here.
    pub(super) fn take_attempt(&self, scheme: &str) -> Option<(Box<dyn Acceptor>, u32)> {
        let mut state = self.lock();
        if !matches!(&*state, State::Underway { .. }) {
            return None;
        }
        match std::mem::take(&mut *state) {
            State::Underway {
                scheme: own,
                acceptor,
                legs,
            } if own == scheme => Some((acceptor, legs)),
            State::Nobody | State::Underway { .. } | State::Established { .. } => None,
        }
    }

    /// Counts a log-on that has failed.
    pub(super) fn fail(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// One has succeeded: those that fail count anew.
    pub(super) fn succeed(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// Holds when so many log-ons have failed that the connection must close.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= MOST_FAILURES
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

/// How long a log-on holds for a connection, however busy it is: as long as a
/// Kerberos ticket does, by custom.
const LONGEST: Duration = Duration::from_hours(10);

/// Failed log-ons in a row on one connection.
const MOST_FAILURES: u32 = 20;
