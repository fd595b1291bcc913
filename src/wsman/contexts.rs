//! Open enumerations: who may pull on, and from where.
//!
//! A context holds a place in a listing and the filter of the enumeration, and
//! nothing of the listing itself. It belongs to a user, not to a connection.
//!
//! What all of them take is bounded: their number for one user and for all
//! (settings), and the text of their filters ([`MAX_FILTERS_PER_USER`],
//! [`MAX_FILTERS`]). Without its filter a context takes some 300 octets, so
//! that the 1,000 of the default take 0.3 MiB. Those that have ended are dropped
//! within [`SWEEP`] though nobody asks for them, by a task that lives while
//! there are any: filters of 20 MiB must not lie about until the next
//! enumeration begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::auth::Principal;
use crate::cim::xml::Arrays;
use crate::config::Current;
use crate::provider::Cursor;
use crate::telemetry::counters::Gauge;

use super::config::Documents;
use super::error::Error;
use super::resource::Form;
use super::schema::Classes;
use super::scope::Scope;

/// What of each instance an enumeration gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// The instance, or a row of it.
    Object,
    /// Its address.
    Epr,
    /// Both.
    ObjectAndEpr,
}

/// What an enumeration gives; it stays the same from the first request to the
/// last.
#[derive(Clone, Debug)]
pub(super) struct Enumeration {
    /// The instances that it is of.
    pub(super) scope: Scope,
    /// The family of URIs in its items.
    pub(super) form: Form,
    /// What of each it gives.
    pub(super) mode: Mode,
    /// How arrays without elements are written.
    pub(super) arrays: Arrays,
}

/// What is listed between two requests.
#[derive(Clone, Debug)]
pub(super) enum Listing {
    /// Instances.
    Instances(Enumeration),
    /// The classes themselves.
    Classes(Classes),
    /// Parts of the configuration.
    Documents(Documents),
}

/// The open enumerations of all users.
#[derive(Debug)]
pub(super) struct Contexts {
    open: Arc<Mutex<Open>>,
    settings: Arc<Current>,
}

#[derive(Debug, Default)]
struct Open {
    contexts: HashMap<Uuid, Context>,
    /// Runs while there are contexts, and ends with these.
    sweeper: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug)]
struct Context {
    user: Box<str>,
    listing: Listing,
    /// Where it goes on; none at the start, and while it is busy.
    after: Option<Cursor>,
    used_at: Instant,
    expires_at: Option<Instant>,
    is_busy: bool,
    _counted: Counted,
}

/// Counts a context as long as it is kept.
#[derive(Debug)]
struct Counted;

/// An enumeration in the hands of one request. Dropped, for whatever reason, it
/// goes on after [`Lease::after`].
#[derive(Debug)]
pub(super) struct Lease<'c> {
    contexts: &'c Contexts,
    id: Uuid,
    /// What it gives.
    pub(super) listing: Listing,
    /// Where it goes on; none at the start.
    pub(super) after: Option<Cursor>,
}

impl Contexts {
    /// No enumeration is open. `settings` say how many may be, and for how
    /// long.
    pub(super) fn new(settings: Arc<Current>) -> Self {
        Self {
            open: Arc::default(),
            settings,
        }
    }

    /// Keeps an enumeration that goes on after `after`, and gives its name.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyEnumerations`], [`Error::NoRoomForEnumerations`].
    pub(super) fn open(
        &self,
        by: &Principal,
        listing: impl Into<Listing>,
        after: Option<Cursor>,
        lifetime: Option<Duration>,
    ) -> Result<String, Error> {
        let listing = listing.into();
        let now = Instant::now();
        let mut open = self.lock();
        self.check_room(&mut open, by, &listing, now)?;
        let id = Uuid::new_v4();
        let context = Context {
            user: by.name().into(),
            listing,
            after,
            used_at: now,
            expires_at: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            is_busy: false,
            _counted: Counted::new(),
        };
        open.contexts.insert(id, context);
        if open.sweeper.is_none() {
            let sweeper = sweep(Arc::downgrade(&self.open), Arc::clone(&self.settings));
            open.sweeper = Some(AbortOnDropHandle::new(tokio::spawn(sweeper)));
        }
        Ok(text(id))
    }

    /// Takes an enumeration for one Pull.
    ///
    /// # Errors
    ///
    /// [`Error::NoContext`], [`Error::ContextBusy`].
    pub(super) fn lease(&self, by: &Principal, name: &str) -> Result<Lease<'_>, Error> {
        let mut open = self.lock();
        let (id, context) = self.find(&mut open, by, name, Instant::now())?;
        if context.is_busy {
            return Err(Error::ContextBusy);
        }
        context.is_busy = true;
        Ok(Lease {
            contexts: self,
            id,
            listing: context.listing.clone(),
            after: context.after.take(),
        })
    }

    /// Forgets an enumeration.
    ///
    /// # Errors
    ///
    /// [`Error::NoContext`].
    pub(super) fn release(&self, by: &Principal, name: &str) -> Result<(), Error> {
        let mut open = self.lock();
        let (id, _) = self.find(&mut open, by, name, Instant::now())?;
        open.contexts.remove(&id);
        Ok(())
    }

    /// What is left of the lifetime that the client asked for; with `lifetime`,
    /// after it was set anew.
    ///
    /// # Errors
    ///
    /// [`Error::NoContext`].
    pub(super) fn lifetime(
        &self,
        by: &Principal,
        name: &str,
        lifetime: Option<Duration>,
    ) -> Result<Option<Duration>, Error> {
        let now = Instant::now();
        let mut open = self.lock();
        let (_, context) = self.find(&mut open, by, name, now)?;
        if let Some(lifetime) = lifetime {
            context.expires_at = now.checked_add(lifetime);
            context.used_at = now;
        }
        Ok(context.expires_at.map(|at| at.duration_since(now)))
    }

    fn find<'o>(
        &self,
        open: &'o mut Open,
        by: &Principal,
        name: &str,
        now: Instant,
    ) -> Result<(Uuid, &'o mut Context), Error> {
        let id = name.trim();
        let id = id.strip_prefix("uuid:").unwrap_or(id);
        let id = Uuid::try_parse(id).map_err(|_| Error::NoContext)?;
        let idle_timeout = idle_timeout(&self.settings);
        match open.contexts.get_mut(&id) {
            Some(context) if *context.user == *by.name() && !context.is_over(idle_timeout, now) => {
                Ok((id, context))
            }
            Some(_) | None => Err(Error::NoContext),
        }
    }

    /// One more may be kept. Those that have ended do not count, and go: who
    /// asks for short lives must not fill the memory before the next sweep.
    fn check_room(
        &self,
        open: &mut Open,
        by: &Principal,
        new: &Listing,
        now: Instant,
    ) -> Result<(), Error> {
        let settings = self.settings.get();
        let idle_timeout = Duration::from_millis(settings.wsman.enumeration_timeout_ms);
        let (mut own, mut all) = (Share::default(), Share::default());
        open.contexts.retain(|_, context| {
            if context.is_over(idle_timeout, now) {
                return false;
            }
            all.add(&context.listing);
            if *context.user == *by.name() {
                own.add(&context.listing);
            }
            true
        });
        own.add(new);
        all.add(new);
        if own.count > settings.wsman.max_enumerations_per_user
            || own.filters > MAX_FILTERS_PER_USER
        {
            return Err(Error::TooManyEnumerations);
        }
        if all.count > settings.wsman.max_enumerations || all.filters > MAX_FILTERS {
            return Err(Error::NoRoomForEnumerations);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        lock(&self.open)
    }
}

/// What some contexts take.
#[derive(Default)]
struct Share {
    count: u32,
    /// Octets of text.
    filters: usize,
}

impl Share {
    fn add(&mut self, listing: &Listing) {
        self.count = self.count.saturating_add(1);
        let octets = match listing {
            Listing::Instances(enumeration) => {
                let selection = enumeration.scope.selection.as_ref();
                selection.map_or(0, |selection| selection.octets)
            }
            Listing::Classes(_) | Listing::Documents(_) => 0,
        };
        self.filters = self.filters.saturating_add(octets);
    }
}

impl From<Enumeration> for Listing {
    fn from(enumeration: Enumeration) -> Self {
        Self::Instances(enumeration)
    }
}

impl Context {
    fn is_over(&self, idle_timeout: Duration, now: Instant) -> bool {
        let is_idle = !self.is_busy && now.duration_since(self.used_at) >= idle_timeout;
        is_idle || self.expires_at.is_some_and(|at| at <= now)
    }
}

impl Counted {
    fn new() -> Self {
        Gauge::Enumerations.up();
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        Gauge::Enumerations.down();
    }
}

impl Lease<'_> {
    /// The name of the context.
    pub(super) fn name(&self) -> String {
        text(self.id)
    }

    /// The place in a list that is held whole in memory.
    pub(super) fn place(&self) -> usize {
        let octets = self.after.as_ref().map(|after| after.0.as_slice());
        let octets = octets.and_then(|octets| octets.try_into().ok());
        octets.map_or(0, usize::from_be_bytes)
    }

    /// There is nothing more to pull.
    pub(super) fn end(self) {
        self.contexts.lock().contexts.remove(&self.id);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.contexts.lock().contexts.get_mut(&self.id) {
            context.is_busy = false;
            context.after = self.after.take();
            context.used_at = Instant::now();
        }
    }
}

/// Drops what has ended until nothing is left.
async fn sweep(open: Weak<Mutex<Open>>, settings: Arc<Current>) {
    loop {
        sleep(SWEEP).await;
        let Some(open) = open.upgrade() else {
            return;
        };
        let idle_timeout = idle_timeout(&settings);
        let now = Instant::now();
        let mut open = lock(&open);
        open.contexts
            .retain(|_, context| !context.is_over(idle_timeout, now));
        if open.contexts.is_empty() {
            // The next one begins a new sweep; the memory goes too.
            *open = Open::default();
            return;
        }
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    // Every change under the lock is a single step: there is nothing half-done
    // to find after a panic.
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `EnumerationTimeoutms`.
fn idle_timeout(settings: &Current) -> Duration {
    Duration::from_millis(settings.get().wsman.enumeration_timeout_ms)
}

/// A place in a list that is held whole in memory; [`Lease::place`] reads it.
pub(super) fn at(place: usize) -> Cursor {
    Cursor(place.to_be_bytes().to_vec())
}

fn text(id: Uuid) -> String {
    let mut digits = Uuid::encode_buffer();
    ["uuid:", id.hyphenated().encode_upper(&mut digits)].concat()
}

/// How long a context that has ended may stay in memory.
const SWEEP: Duration = Duration::from_secs(5);

/// Octets of text of the filters in one user's contexts: 1,300 for each of the
/// 100 that he may have. A query of 100 octets counts for 164.
const MAX_FILTERS_PER_USER: usize = 128 * 1_024;

/// The same of all contexts. In memory a filter takes 40 times its text at
/// most (a pattern of LIKE, 32 octets a character): some 20 MiB in all.
const MAX_FILTERS: usize = 512 * 1_024;

#[cfg(test)]
mod tests;
