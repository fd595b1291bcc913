//! The one place where the engine reads clocks.
//!
//! The calendar may be set at any time, by years in both directions. Jobs wait
//! by a clock of the service's own, which shows what `CLOCK_BOOTTIME` counts (sleep
//! of the host included) and goes on where it stood after a start; its instants
//! are stored. Only what a client has named as a date waits by the calendar.

use std::fs;
use std::time::Duration;
use std::time::SystemTime;

use rustix::time::ClockId;
use rustix::time::clock_gettime;

use crate::bits::Now;
use crate::bits::Timestamp;
use crate::store::ClockMark;

/// Both clocks.
#[derive(Debug)]
pub(super) struct Clock {
    /// Which boot of the host.
    boot: String,
    /// What the steady clock showed…
    steady: Timestamp,
    /// …so long after that boot.
    since_boot: Duration,
    #[cfg(test)]
    set: std::sync::Mutex<Option<Now>>,
}

impl Clock {
    /// Goes on from what was last kept.
    pub(super) fn resume(mark: Option<&ClockMark>) -> Self {
        let reading = Reading {
            date: SystemTime::now().into(),
            boot: boot_id(),
            since_boot: since_boot(),
        };
        Self {
            steady: steady_at(mark, &reading),
            boot: reading.boot,
            since_boot: reading.since_boot,
            #[cfg(test)]
            set: std::sync::Mutex::default(),
        }
    }

    /// This moment.
    pub(super) fn now(&self) -> Now {
        #[cfg(test)]
        if let Some(now) = *self.set.lock().expect("no test panics while it sets it") {
            return now;
        }
        Now {
            date: SystemTime::now().into(),
            steady: self.steady + since_boot().saturating_sub(self.since_boot),
        }
    }

    /// What is kept, to go on from after a start.
    pub(super) fn mark(&self) -> ClockMark {
        let now = self.now();
        ClockMark {
            date: now.date,
            steady: now.steady,
            boot: self.boot.clone(),
            since_boot_ms: u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Shows this from now on.
    #[cfg(test)]
    pub(super) fn set(&self, now: Now) {
        *self.set.lock().expect("not poisoned") = Some(now);
    }
}

/// What the host's clocks show.
#[derive(Clone, Debug)]
struct Reading {
    date: Timestamp,
    boot: String,
    since_boot: Duration,
}

/// What the steady clock shows. Within one boot the host knows how much time
/// has passed; over a boot only the calendar does, which is believed unless it
/// has gone back.
fn steady_at(mark: Option<&ClockMark>, reading: &Reading) -> Timestamp {
    let Some(mark) = mark else {
        return reading.date;
    };
    let passed = if mark.boot == reading.boot && !mark.boot.is_empty() {
        reading
            .since_boot
            .saturating_sub(Duration::from_millis(mark.since_boot_ms))
    } else {
        reading.date.since(mark.date)
    };
    mark.steady + passed
}

/// Time since the host was started, sleep included.
fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanoseconds)
}

/// Empty when the host does not say.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: Timestamp = Timestamp::from_ticks(1_000_000_000_000);

    fn mark() -> ClockMark {
        ClockMark {
            date: DATE,
            steady: Timestamp::from_ticks(500_000_000_000),
            boot: "first".to_owned(),
            since_boot_ms: 60_000,
        }
    }

    fn reading(boot: &str, date: Timestamp, since_boot_s: u64) -> Reading {
        Reading {
            date,
            boot: boot.to_owned(),
            since_boot: Duration::from_secs(since_boot_s),
        }
    }

    #[test]
    fn the_first_start_takes_the_calendar() {
        assert_eq!(steady_at(None, &reading("first", DATE, 5)), DATE);
    }

    #[test]
    fn a_calendar_that_was_set_in_either_direction_moves_nothing() {
        let years = Duration::from_hours(24 * 365 * 20);
        for date in [DATE + years, Timestamp::default()] {
            let steady = steady_at(Some(&mark()), &reading("first", date, 70));
            assert_eq!(steady, mark().steady + Duration::from_secs(10));
        }
    }

    #[test]
    fn over_a_boot_the_calendar_counts_unless_it_has_gone_back() {
        let hour = Duration::from_hours(1);
        let later = steady_at(Some(&mark()), &reading("second", DATE + hour, 3));
        assert_eq!(later, mark().steady + hour);
        let back = steady_at(Some(&mark()), &reading("second", Timestamp::default(), 3));
        assert_eq!(back, mark().steady);
    }

    #[test]
    fn it_goes_on_from_its_own_mark() {
        let clock = Clock::resume(None);
        let again = Clock::resume(Some(&clock.mark()));
        let between = again.now().steady.since(clock.now().steady);
        assert!(between < Duration::from_secs(5));
    }
}
