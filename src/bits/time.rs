//! Instants as BITS counts them.

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use serde::Deserialize;
use serde::Serialize;

/// An instant: 100-nanosecond ticks since 1601-01-01 UTC (a FILETIME in one
/// integer, as `JobCreationTime` and its siblings carry it).
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub(crate) struct Timestamp(u64);

impl Timestamp {
    /// The instant that lies `ticks` after 1601-01-01 UTC.
    pub(crate) const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// Ticks of 100 ns since 1601-01-01 UTC.
    pub(crate) const fn ticks(self) -> u64 {
        self.0
    }

    /// How long `self` lies after `earlier`; zero when it does not.
    pub(crate) const fn since(self, earlier: Self) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        Duration::new(ticks / TICKS_PER_S, (ticks % TICKS_PER_S) as u32 * 100)
    }
}

/// This moment on the two clocks that a job is kept by; an instant of one is
/// never compared with one of the other.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Now {
    /// The calendar, which an administrator or a time server may set.
    pub(crate) date: Timestamp,
    /// The service's own clock, which never jumps: by it jobs wait.
    pub(crate) steady: Timestamp,
}

/// Both clocks show the same.
impl From<Timestamp> for Now {
    fn from(at: Timestamp) -> Self {
        Self {
            date: at,
            steady: at,
        }
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self {
            date: self.date + span,
            steady: self.steady + span,
        }
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    #[expect(
        clippy::suspicious_arithmetic_impl,
        reason = "a tick has 100 nanoseconds"
    )]
    fn add(self, span: Duration) -> Self {
        let ticks = u64::try_from(span.as_nanos() / 100).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(ticks))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_unix = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(UNIX_EPOCH_TICKS) + since_unix
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + time.since(Timestamp(UNIX_EPOCH_TICKS))
    }
}

const TICKS_PER_S: u64 = 10_000_000;

/// 1970-01-01 in ticks since 1601-01-01.
const UNIX_EPOCH_TICKS: u64 = 116_444_736_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unix_epoch_and_back() {
        assert_eq!(Timestamp::from(UNIX_EPOCH).ticks(), UNIX_EPOCH_TICKS);
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700);
        assert_eq!(SystemTime::from(Timestamp::from(time)), time);
    }

    #[test]
    fn time_before_is_no_time_at_all() {
        assert_eq!(
            Timestamp::from_ticks(5).since(Timestamp::from_ticks(9)),
            Duration::ZERO
        );
    }
}
