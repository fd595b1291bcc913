//! The desk on which jobs are changed: one hand on a job at a time.
//!
//! The store is the only truth: whoever holds a job's lock reads it there,
//! changes it, commits it, and lets go. So nobody sees a change before it is
//! durable, and nothing here grows with the number of jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::OwnedMutexGuard;

use crate::bits::JobId;

/// Locks of the jobs that are being changed.
#[derive(Debug, Default)]
pub(super) struct Desk {
    locks: Mutex<HashMap<JobId, Arc<tokio::sync::Mutex<()>>>>,
}

/// The right to change one job.
#[derive(Debug)]
pub(super) struct Hold<'a> {
    desk: &'a Desk,
    id: JobId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Desk {
    /// Waits until nobody else changes the job.
    pub(super) async fn hold(&self, id: JobId) -> Hold<'_> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(id).or_default())
        };
        Hold {
            desk: self,
            id,
            guard: Some(lock.lock_owned().await),
        }
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut locks = self
            .desk
            .locks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(self.guard.take());
        // Waiters hold a clone; new ones cannot come while the map is locked.
        if locks
            .get(&self.id)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_job_is_held_by_one_and_the_desk_is_empty_afterwards() {
        let desk = Desk::default();
        let id = JobId::new();
        let first = desk.hold(id).await;
        let second =
            tokio::time::timeout(std::time::Duration::from_millis(20), desk.hold(id)).await;
        assert!(second.is_err());
        let other = desk.hold(JobId::new()).await;
        drop((first, other));
        drop(desk.hold(id).await);
        assert!(desk.locks.lock().expect("not poisoned").is_empty());
    }
}
