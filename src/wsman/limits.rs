//! `MaxConcurrentOperationsPerUser`: how many requests of one user are at work.
//! The number is that of the user's roles, or else of the settings in force when
//! a request begins.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::auth::Principal;
use crate::config::Current;
use crate::telemetry::counters::Gauge;

use super::error::Error;

/// The requests at work, by user.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    at_work: Arc<Mutex<HashMap<String, u32>>>,
    settings: Arc<Current>,
}

/// One request at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    operations: Operations,
    user: Principal,
}

impl Operations {
    /// Nothing is at work.
    pub(super) fn new(settings: &Arc<Current>) -> Self {
        Self {
            at_work: Arc::default(),
            settings: Arc::clone(settings),
        }
    }

    /// Counts a request in.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyOperations`].
    pub(super) fn begin(&self, by: &Principal) -> Result<Permit, Error> {
        let per_user = by
            .max_concurrent_operations()
            .unwrap_or_else(|| self.settings.get().wsman.max_concurrent_operations_per_user);
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        match at_work.get_mut(by.name()) {
            Some(count) if *count >= per_user => return Err(Error::TooManyOperations),
            Some(count) => *count += 1,
            None if per_user == 0 => return Err(Error::TooManyOperations),
            None => {
                at_work.insert(by.name().to_owned(), 1);
            }
        }
        Gauge::Operations.up();
        Ok(Permit {
            operations: self.clone(),
            user: by.clone(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        Gauge::Operations.down();
        let operations = &self.operations.at_work;
        let mut at_work = operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = at_work.get_mut(self.user.name()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                at_work.remove(self.user.name());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::auth::Scope;
    use crate::config::Settings;

    use super::*;

    fn limit(per_user: u32) -> Settings {
        let mut settings = Settings::default();
        settings.wsman.max_concurrent_operations_per_user = per_user;
        settings
    }

    #[test]
    fn one_user_does_not_take_the_turns_of_another() {
        let operations = Operations::new(&Arc::new(Current::new(limit(1))));
        let anna = Principal::for_test("anna", Scope::Own);
        let otto = Principal::for_test("otto", Scope::Own);
        let permit = operations.begin(&anna).expect("first");
        assert!(matches!(
            operations.begin(&anna),
            Err(Error::TooManyOperations)
        ));
        operations.begin(&otto).expect("his first");
        drop(permit);
        operations.begin(&anna).expect("free again");
    }

    #[test]
    fn a_limit_of_ones_own_counts_instead() {
        let operations = Operations::new(&Arc::new(Current::new(limit(1))));
        let anna = Principal::for_test("anna", Scope::Own).limited_for_test(None, None, Some(2));
        let permits = [operations.begin(&anna), operations.begin(&anna)];
        assert!(permits.iter().all(Result::is_ok));
        assert!(operations.begin(&anna).is_err());
    }

    #[test]
    fn another_limit_counts_from_the_next_request_on() {
        let current = Arc::new(Current::new(limit(1)));
        let operations = Operations::new(&current);
        let anna = Principal::for_test("anna", Scope::Own);
        let first = operations.begin(&anna).expect("first");
        current.set(limit(2));
        let second = operations.begin(&anna).expect("there is room for two");
        current.set(limit(1));
        drop(first);
        assert!(operations.begin(&anna).is_err(), "one is still at work");
        drop(second);
        operations.begin(&anna).expect("none is");
    }
}
