//! How many log-ons use threads and files at a time.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::auth::AuthError;
use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;

/// Gives turns to so many at a time, and lets so many wait.
pub(super) struct Turns {
    /// A permit for each log-on that runs or waits.
    places: Arc<Semaphore>,
    /// A permit for each log-on that runs.
    turns: Arc<Semaphore>,
}

/// A turn, until it is dropped.
pub(super) struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Turns {
    /// `running` at a time, and beside them `max_waiting` that wait.
    pub(super) fn new(running: usize, max_waiting: u32) -> Self {
        let waiting = usize::try_from(max_waiting)
            .unwrap_or(Semaphore::MAX_PERMITS)
            .min(Semaphore::MAX_PERMITS - running);
        Self {
            places: Arc::new(Semaphore::new(waiting + running)),
            turns: Arc::new(Semaphore::new(running)),
        }
    }

    /// Waits for a turn. Who drops the future has left the queue.
    ///
    /// # Errors
    ///
    /// [`AuthError::Busy`]: too many wait.
    pub(super) async fn take(&self) -> Result<Turn, AuthError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Counter::Refused(Limit::WaitingLogOns).bump();
            AuthError::Busy
        })?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        Ok(Turn {
            _place: place,
            _turn: turn.expect("the semaphore is never closed"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beyond_the_queue_log_ons_are_turned_away() {
        let turns = Arc::new(Turns::new(2, 3));
        let mut answers = tokio::task::JoinSet::new();
        for _ in 0..9 {
            let turns = Arc::clone(&turns);
            answers.spawn(async move {
                let turn = turns.take().await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(turn);
                Ok::<_, AuthError>(tokio::time::Instant::now())
            });
        }
        let begun_at = tokio::time::Instant::now();
        let answers = answers.join_all().await;
        let mut took: Vec<_> = answers
            .iter()
            .flatten()
            .map(|ended_at| ended_at.duration_since(begun_at).as_secs())
            .collect();
        took.sort_unstable();
        assert_eq!(took, [1, 1, 2, 2, 3]);
        let busy = answers
            .iter()
            .filter(|answer| **answer == Err(AuthError::Busy));
        assert_eq!(busy.count(), 4);
    }

    #[tokio::test]
    async fn who_leaves_the_queue_makes_room() {
        let turns = Turns::new(1, 1);
        let _running = turns.take().await.expect("a turn");
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_millis(1), turns.take()).await;
            assert!(waited.is_err(), "it waits");
        }
    }
}
