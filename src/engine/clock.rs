//! The one place where the engine reads the clock.

use std::time::SystemTime;

use crate::bits::Timestamp;

/// This moment.
pub(super) fn now() -> Timestamp {
    SystemTime::now().into()
}
