//! One connection: what is known of it, and when it ends.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::budget::AnonymousPlace;
use super::budget::NamedPlace;
use crate::auth::ConnectionAuth;

/// A connection, as a request's extensions hold it.
pub(crate) struct Connection {
    /// Who has logged on.
    pub(crate) auth: ConnectionAuth,
    begun_at: Instant,
    /// Somebody has logged on: the place is in the other budget.
    is_settled: AtomicBool,
    place: Mutex<Place>,
    phase: Mutex<Phase>,
}

/// All places for connections with a principal are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

/// From which budget the connection lives.
enum Place {
    Anonymous {
        /// Held, not read: the place is free when it is dropped.
        place: AnonymousPlace,
    },
    Named {
        /// The same.
        _place: NamedPlace,
    },
}

/// Is a request being answered?
#[derive(Clone, Copy, Debug)]
enum Phase {
    Idle { since: Instant },
    Busy,
}

/// What is to be done with a connection whose time was thought to be up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    /// It is.
    Now,
    /// It is, but for the request that is being answered.
    AfterThis,
    /// Ask again then.
    At(Instant),
}

impl Connection {
    pub(super) fn new(auth: ConnectionAuth, place: AnonymousPlace, now: Instant) -> Self {
        Self {
            auth,
            begun_at: now,
            is_settled: AtomicBool::new(false),
            place: Mutex::new(Place::Anonymous { place }),
            phase: Mutex::new(Phase::Idle { since: now }),
        }
    }

    /// A connection, for the tests of what answers its requests.
    #[cfg(test)]
    pub(crate) async fn for_test(auth: ConnectionAuth) -> Self {
        let settings = crate::config::Current::new(crate::config::Settings::default());
        let budget = super::budget::Budget::new(&std::sync::Arc::new(settings));
        let visitor = std::sync::Arc::new(budget).visit(auth.peer().address.ip());
        let place = visitor.expect("nobody else is there").place().await;
        Self::new(auth, place, Instant::now())
    }

    /// Moves the connection, on which somebody has just logged on, to the
    /// budget of those with a principal.
    ///
    /// # Errors
    ///
    /// [`Full`]; it stays where it is.
    pub(crate) fn settle(&self) -> Result<(), Full> {
        if self.is_settled() {
            return Ok(());
        }
        let mut own = lock(&self.place);
        if let Place::Anonymous { place } = &*own {
            let named = place.promote().ok_or(Full)?;
            *own = Place::Named { _place: named };
            self.is_settled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Holds once somebody has logged on.
    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }

    /// A request has come.
    pub(super) fn begin(&self) {
        *lock(&self.phase) = Phase::Busy;
    }

    /// Its answer goes out.
    pub(super) fn end(&self, now: Instant) {
        *lock(&self.phase) = Phase::Idle { since: now };
    }

    /// When the connection must be closed: without a principal, some time
    /// after it began, whatever goes on between requests; with one, after
    /// being idle. A request that is being answered has deadlines of its own;
    /// without a principal it is the last one, or else legs of a log-on that
    /// follow one another closely would keep the connection for ever.
    pub(super) fn due(&self, logon: Duration, idle: Duration, now: Instant) -> Due {
        let phase = *lock(&self.phase);
        let logon_until = self.begun_at + logon;
        let limit = match phase {
            Phase::Busy if !self.is_settled() && now >= logon_until => return Due::AfterThis,
            Phase::Busy => return Due::At(now + RECHECK),
            Phase::Idle { since } if self.is_settled() => since + idle,
            Phase::Idle { .. } => logon_until,
        };
        if now >= limit {
            return Due::Now;
        }
        Due::At(limit)
    }
}

/// Each change is one assignment: a panic leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How soon a busy connection is asked again whether its time is up.
pub(super) const RECHECK: Duration = Duration::from_secs(2);
