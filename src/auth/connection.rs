//! What one connection has reached in logging on.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;

use tokio::time::Instant;
use tracing::warn;

use super::AUDIT;
use super::Acceptor;
use super::AuthError;
use super::Caller;
use super::Parts;
use super::Peer;
use super::Seal;
use super::SealError;
use super::Within;
use super::client_certificate::Terms;
use super::sealed;
use super::sealed::ContentType;
use super::sealed::Malformed;
use super::sealed::Media;
use super::sealed::Style;
use super::sealed::Writer;
use super::users::Secrets;
use crate::config::Settings;
use crate::telemetry::counters::Counter;

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
        /// When the first one came: what was proved may hold no longer after
        /// [`LONGEST_ATTEMPT`].
        since: Instant,
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
        line: Option<(Arc<str>, Secrets)>,
        /// When he logged on.
        since: Instant,
        /// What protects the messages, if anything but TLS does.
        seal: Option<Box<dyn Seal>>,
    },
}

/// A request that was sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Opened {
    /// `Content-Type` of the message: its charset counts.
    pub(crate) content_type: String,
    /// The message. Some clients fill it up with NUL.
    pub(crate) plain: Vec<u8>,
    /// How the answer is to be sealed.
    pub(crate) style: Style,
}

/// An answer that is sealed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SealedBody {
    /// Its `Content-Type`.
    pub(crate) content_type: String,
    /// The body.
    pub(crate) octets: Vec<u8>,
}

/// Why a sealed body is not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NotOpened {
    /// Nobody has logged on to the connection in a way that gives keys.
    #[error("the connection has no security context")]
    NoKeys,
    /// It says that it is sealed by another kind of context.
    #[error("the message is sealed for another kind of security context")]
    OtherProtocol,
    /// It is no sealed body.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It was tampered with, comes again, or was sealed by somebody else.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It is too large, or has not come whole.
    #[error("a sealed message could not be read")]
    NotRead,
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

    /// Who has logged on to the connection itself, if anybody did (by `scheme`,
    /// if one is given), and if it still holds under the settings `now`. `is_on` says whether a scheme, and the mechanism
    /// behind it, are still switched on, `is_line` whether an account still has
    /// a line of the user file; a log-on that holds no longer ends here, with
    /// its keys.
    pub(super) fn caller(
        &self,
        scheme: Option<&str>,
        now: &Arc<Settings>,
        is_on: impl FnOnce(&str, Option<Within>) -> bool,
        is_line: impl FnOnce(&str, &Secrets) -> bool,
    ) -> Option<Result<Caller, AuthError>> {
        let mut state = self.lock();
        if let State::Established {
            scheme,
            line,
            since,
            seal,
            ..
        } = &*state
        {
            let within = seal.as_ref().and_then(|seal| seal.mechanism());
            let has_line = line.as_ref().is_none_or(|(name, line)| is_line(name, line));
            if !is_on(scheme, within) || !has_line || since.elapsed() >= LONGEST {
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
                (holds && scheme.is_none_or(|scheme| scheme == *own)).then(|| caller.clone())
            }
            State::Nobody | State::Underway { .. } => None,
        }
    }

    /// The attempt with `scheme` that is under way, its legs, and when it began.
    /// Another one ends here, and so does one that takes too long, and what an
    /// earlier one has reached: a log-on starts over.
    pub(super) fn take_attempt(&self, scheme: &str) -> Option<(Box<dyn Acceptor>, u32, Instant)> {
        let mut state = self.lock();
        match &*state {
            State::Nobody | State::Established { seal: None, .. } => return None,
            State::Underway { .. } | State::Established { seal: Some(_), .. } => {}
        }
        match std::mem::take(&mut *state) {
            State::Underway {
                scheme: own,
                acceptor,
                legs,
                since,
            } if own == scheme && since.elapsed() < LONGEST_ATTEMPT => {
                Some((acceptor, legs, since))
            }
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

    /// Opens a sealed body that has come with this `Content-Type`. Whatever is
    /// wrong with it ends the log-on: keys that are out of step, or with which
    /// somebody tries his luck, protect nothing.
    ///
    /// # Errors
    ///
    /// [`NotOpened`]: the client must log on, or log on again.
    pub(crate) fn open(&self, content_type: &[u8], body: &[u8]) -> Result<Opened, NotOpened> {
        self.with_seal(|seal| open(seal, content_type, body))
    }

    /// Seals an answer of this type, in the way of its request.
    ///
    /// # Errors
    ///
    /// [`NotOpened`]: nobody is logged on any more.
    pub(crate) fn seal(
        &self,
        style: &Style,
        content_type: &str,
        plain: &[u8],
    ) -> Result<SealedBody, NotOpened> {
        self.with_seal(|seal| Ok(seal_body(seal, style, content_type, plain)?))
    }

    /// A sealed body has come that was not read to its end: the keys of both
    /// sides are out of step, if there are any.
    pub(crate) fn lose_step(&self) {
        let _: Result<(), _> = self.with_seal(|_| Err(NotOpened::NotRead));
    }

    /// Does something with the keys of the connection. A failure ends the
    /// log-on, and is told: once for each log-on, so that nobody fills the log.
    fn with_seal<T>(
        &self,
        work: impl FnOnce(&mut dyn Seal) -> Result<T, NotOpened>,
    ) -> Result<T, NotOpened> {
        let mut state = self.lock();
        let State::Established {
            scheme,
            caller,
            seal: Some(seal),
            ..
        } = &mut *state
        else {
            return Err(NotOpened::NoKeys);
        };
        let done = work(&mut **seal);
        if let Err(cause) = &done {
            let (address, scheme) = (self.peer.address, *scheme);
            let account = caller.as_ref().ok().map(ToString::to_string);
            *state = State::Nobody;
            drop(state);
            Counter::SealBroken.bump();
            warn!(target: AUDIT, %address, scheme, account, %cause, "Log-on ended");
        }
        done
    }

    /// Sets how far the log-on is.
    pub(super) fn set(&self, state: State) {
        *self.lock() = state;
    }

    /// A panic leaves the state whole: each change is one assignment. Keys that
    /// panic half-way are out of step, and fail the next time.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a log-on holds for a connection, however busy it is: as long as a
/// Kerberos ticket does, by custom.
const LONGEST: Duration = Duration::from_hours(10);

/// How long a log-on may take, from its first leg to its last one.
const LONGEST_ATTEMPT: Duration = Duration::from_mins(1);

/// Failed log-ons in a row on one connection.
const MOST_FAILURES: u32 = 20;

fn open(seal: &mut dyn Seal, content_type: &[u8], body: &[u8]) -> Result<Opened, NotOpened> {
    let content_type = ContentType::parse(content_type)?;
    if content_type.protocol.parts() != seal.parts() {
        return Err(NotOpened::OtherProtocol);
    }
    let body = sealed::read(&content_type, body)?;
    let mut plain = Vec::new();
    for piece in &body.pieces {
        let opened = piece.cut(seal.open(piece.octets)?)?;
        if plain.is_empty() {
            plain = opened;
        } else {
            plain.extend_from_slice(&opened);
        }
    }
    Ok(Opened {
        content_type: body.content_type.to_owned(),
        plain,
        style: body.style,
    })
}

fn seal_body(
    seal: &mut dyn Seal,
    style: &Style,
    content_type: &str,
    plain: &[u8],
) -> Result<SealedBody, SealError> {
    let piece = match seal.parts() {
        Parts::Whole => plain.len(),
        Parts::Pieces => sealed::PIECE,
    };
    let media = if plain.len() > piece {
        Media::Multiple
    } else {
        Media::Single
    };
    let mut writer = Writer::new(style, content_type, plain.len());
    for piece in plain.chunks(piece.max(1)) {
        writer.push(piece.len(), &seal.seal(piece)?);
    }
    Ok(SealedBody {
        content_type: style.content_type(media),
        octets: writer.end(),
    })
}
