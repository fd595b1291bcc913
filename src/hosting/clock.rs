//! The one place where uploads read clocks.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use tokio::time::Instant;

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    seconds(SystemTime::now())
}

/// The clock of the runtime.
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// An instant in seconds since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
