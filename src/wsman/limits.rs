//! `MaxConcurrentOperationsPerUser`: how many requests of one user are at work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::auth::Principal;

use super::error::Error;

/// The requests at work, by user.
#[derive(Clone, Debug)]
pub(super) struct Operations {
    at_work: Arc<Mutex<HashMap<String, u32>>>,
    per_user: u32,
}

/// One request at work, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    operations: Operations,
    user: Principal,
}

impl Operations {
    /// Nothing is at work.
    pub(super) fn new(per_user: u32) -> Self {
        Self {
            at_work: Arc::default(),
            per_user,
        }
    }

    /// Counts a request in.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyOperations`].
    pub(super) fn begin(&self, by: &Principal) -> Result<Permit, Error> {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        match at_work.get_mut(by.name()) {
            Some(count) if *count >= self.per_user => return Err(Error::TooManyOperations),
            Some(count) => *count += 1,
            None if self.per_user == 0 => return Err(Error::TooManyOperations),
            None => {
                at_work.insert(by.name().to_owned(), 1);
            }
        }
        Ok(Permit {
            operations: self.clone(),
            user: by.clone(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
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

    use super::*;

    #[test]
    fn one_user_does_not_take_the_turns_of_another() {
        let operations = Operations::new(1);
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
}
