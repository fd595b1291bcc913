//! How many lines strangers may have written to the log.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

/// Lines of one kind that whoever can open a connection can have written: so
/// many in a second, and no more. What collects the log drops lines of a
/// service that writes too many, and with them those that tell of an attack.
#[derive(Debug, Default)]
pub(crate) struct LineBudget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The second that has begun with a line.
    second: Option<Second>,
    /// Lines that were not written, and of which nobody has been told.
    left_out: u64,
}

#[derive(Clone, Copy, Debug)]
struct Second {
    begun_at: Instant,
    lines: u32,
}

impl LineBudget {
    /// Takes a line; false when there is none left at `now`.
    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let (begun_at, lines) = state
            .second
            .filter(|second| now.saturating_duration_since(second.begun_at) < SECOND)
            .map_or((now, 0), |second| (second.begun_at, second.lines));
        if lines == LINES {
            state.left_out += 1;
            return false;
        }
        state.second = Some(Second {
            begun_at,
            lines: lines + 1,
        });
        true
    }

    /// How many lines were refused since this was asked last.
    pub(crate) fn left_out(&self) -> u64 {
        std::mem::take(&mut self.lock().left_out)
    }

    /// Each change is one assignment: a panic leaves it whole.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines in a second: more are no news.
const LINES: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_so_many_lines_and_the_next_one_again() {
        let budget = LineBudget::default();
        for _ in 0..3 {
            let begun_at = Instant::now();
            let taken = (0..100).filter(|_| budget.take(begun_at)).count();
            assert_eq!(taken, LINES as usize);
            tokio::time::advance(Duration::from_millis(999)).await;
            assert!(!budget.take(Instant::now()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_told_once() {
        let budget = LineBudget::default();
        let now = Instant::now();
        assert_eq!((0..13).filter(|_| budget.take(now)).count(), 10);
        assert_eq!((budget.left_out(), budget.left_out()), (3, 0));
    }
}
