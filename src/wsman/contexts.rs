//! Open enumerations: who may pull on, and from where.
//!
//! A context holds a place in a listing and nothing of the listing itself. It
//! belongs to a user, not to a connection.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Principal;
use crate::provider::Cursor;

use super::config::Documents;
use super::error::Error;
use super::resource::Form;

/// What of each instance an enumeration gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mode {
    /// The instance.
    Object,
    /// Its address.
    Epr,
    /// Both.
    ObjectAndEpr,
}

/// An enumeration between two requests.
#[derive(Clone, Debug)]
pub(super) struct Enumeration {
    /// Place of the class among those served.
    pub(super) served: usize,
    /// The family of URIs in its items.
    pub(super) form: Form,
    /// What it gives.
    pub(super) mode: Mode,
    /// Where it goes on; none at the start.
    pub(super) after: Option<Cursor>,
}

/// What is listed between two requests.
#[derive(Clone, Debug)]
pub(super) enum Listing {
    /// Instances.
    Instances(Enumeration),
    /// Parts of the configuration.
    Documents(Documents),
}

/// The open enumerations of all users.
#[derive(Debug)]
pub(super) struct Contexts {
    open: Mutex<HashMap<Uuid, Context>>,
    idle_timeout: Duration,
    per_user: usize,
}

#[derive(Debug)]
struct Context {
    user: String,
    listing: Listing,
    used_at: Instant,
    expires_at: Option<Instant>,
    is_busy: bool,
}

/// An enumeration in the hands of one request; dropped, it is as it was.
#[derive(Debug)]
pub(super) struct Lease<'c> {
    contexts: &'c Contexts,
    id: Uuid,
    /// What was found.
    pub(super) listing: Listing,
}

impl Contexts {
    /// No enumeration is open.
    pub(super) fn new(idle_timeout: Duration, per_user: u32) -> Self {
        Self {
            open: Mutex::new(HashMap::new()),
            idle_timeout,
            per_user: usize::try_from(per_user).unwrap_or(usize::MAX),
        }
    }

    /// Keeps an enumeration, and gives its name.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyEnumerations`].
    pub(super) fn open(
        &self,
        by: &Principal,
        listing: impl Into<Listing>,
        lifetime: Option<Duration>,
        now: Instant,
    ) -> Result<String, Error> {
        let mut open = self.lock();
        open.retain(|_, context| !context.is_over(self.idle_timeout, now));
        let own = open.values().filter(|c| c.user == by.name()).count();
        if own >= self.per_user {
            return Err(Error::TooManyEnumerations);
        }
        let id = Uuid::new_v4();
        let context = Context {
            user: by.name().to_owned(),
            listing: listing.into(),
            used_at: now,
            expires_at: lifetime.and_then(|lifetime| now.checked_add(lifetime)),
            is_busy: false,
        };
        open.insert(id, context);
        Ok(text(id))
    }

    /// Takes an enumeration for one Pull.
    ///
    /// # Errors
    ///
    /// [`Error::NoContext`], [`Error::ContextBusy`].
    pub(super) fn lease(
        &self,
        by: &Principal,
        name: &str,
        now: Instant,
    ) -> Result<Lease<'_>, Error> {
        let mut open = self.lock();
        let (id, context) = self.find(&mut open, by, name, now)?;
        if context.is_busy {
            return Err(Error::ContextBusy);
        }
        context.is_busy = true;
        Ok(Lease {
            contexts: self,
            id,
            listing: context.listing.clone(),
        })
    }

    /// Forgets an enumeration.
    ///
    /// # Errors
    ///
    /// [`Error::NoContext`].
    pub(super) fn release(&self, by: &Principal, name: &str, now: Instant) -> Result<(), Error> {
        let mut open = self.lock();
        let (id, _) = self.find(&mut open, by, name, now)?;
        open.remove(&id);
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
        now: Instant,
    ) -> Result<Option<Duration>, Error> {
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
        open: &'o mut HashMap<Uuid, Context>,
        by: &Principal,
        name: &str,
        now: Instant,
    ) -> Result<(Uuid, &'o mut Context), Error> {
        let id = name.trim();
        let id = id.strip_prefix("uuid:").unwrap_or(id);
        let id = Uuid::try_parse(id).map_err(|_| Error::NoContext)?;
        match open.get_mut(&id) {
            Some(context)
                if context.user == by.name() && !context.is_over(self.idle_timeout, now) =>
            {
                Ok((id, context))
            }
            Some(_) | None => Err(Error::NoContext),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Context>> {
        // Every change under the lock is a single step: there is nothing
        // half-done to find after a panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Lease<'_> {
    /// The name of the context.
    pub(super) fn name(&self) -> String {
        text(self.id)
    }

    /// The next Pull goes on with `listing`.
    pub(super) fn replace(self, listing: impl Into<Listing>) {
        if let Some(context) = self.contexts.lock().get_mut(&self.id) {
            context.listing = listing.into();
        }
    }

    /// There is nothing more to pull.
    pub(super) fn end(self) {
        self.contexts.lock().remove(&self.id);
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.contexts.lock().get_mut(&self.id) {
            context.is_busy = false;
            context.used_at = Instant::now();
        }
    }
}

fn text(id: Uuid) -> String {
    let mut digits = Uuid::encode_buffer();
    ["uuid:", id.hyphenated().encode_upper(&mut digits)].concat()
}

#[cfg(test)]
mod tests {
    use crate::auth::Scope;

    use super::*;

    fn enumeration() -> Enumeration {
        Enumeration {
            served: 0,
            form: Form::Wmi,
            mode: Mode::Object,
            after: None,
        }
    }

    fn contexts() -> Contexts {
        Contexts::new(Duration::from_mins(1), 2)
    }

    #[test]
    fn a_context_belongs_to_its_user() {
        let (anna, otto) = (
            Principal::for_test("anna", Scope::Own),
            Principal::for_test("otto", Scope::All),
        );
        let contexts = contexts();
        let now = Instant::now();
        let name = contexts
            .open(&anna, enumeration(), None, now)
            .expect("below the limit");
        assert!(matches!(
            contexts.lease(&otto, &name, now),
            Err(Error::NoContext)
        ));
        let lease = contexts.lease(&anna, &name, now).expect("her own");
        assert!(matches!(
            contexts.lease(&anna, &name, now),
            Err(Error::ContextBusy)
        ));
        drop(lease);
        let lease = contexts.lease(&anna, &name, now).expect("free again");
        lease.replace(Enumeration {
            after: Some(Cursor(vec![7])),
            ..enumeration()
        });
        let lease = contexts.lease(&anna, &name, now).expect("free again");
        let Listing::Instances(found) = &lease.listing else {
            panic!("instances");
        };
        assert_eq!(found.after, Some(Cursor(vec![7])));
        lease.end();
        assert!(matches!(
            contexts.release(&anna, &name, now),
            Err(Error::NoContext)
        ));
    }

    #[test]
    fn a_context_that_nobody_pulls_goes_away_and_makes_room() {
        let anna = Principal::for_test("anna", Scope::Own);
        let contexts = contexts();
        let now = Instant::now();
        let name = contexts.open(&anna, enumeration(), None, now).expect("one");
        contexts
            .open(&anna, enumeration(), Some(Duration::from_secs(10)), now)
            .expect("two");
        assert!(matches!(
            contexts.open(&anna, enumeration(), None, now),
            Err(Error::TooManyEnumerations)
        ));
        let later = now + Duration::from_secs(11);
        contexts
            .open(&anna, enumeration(), None, later)
            .expect("one had expired");
        let later = now + Duration::from_mins(1);
        assert!(matches!(
            contexts.lease(&anna, &name, later),
            Err(Error::NoContext)
        ));
    }
}
