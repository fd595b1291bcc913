//! The one place where transfers read clocks.

use std::time::SystemTime;

use tokio::time::Instant;

/// The clock of the runtime, which tests may pause.
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// The clock of the calendar, for dates that servers name.
pub(super) fn date() -> SystemTime {
    SystemTime::now()
}
