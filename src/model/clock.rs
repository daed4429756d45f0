//! The only place that reads a clock. Everywhere else time is an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{BootTime, Time};

/// Returns the wall-clock time: for expiry dates and for messages, never for ages.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn wall_time() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).ok().and_then(Time::from_milliseconds).unwrap_or(Time::EPOCH)
}

/// Returns the time since boot, suspends included, by which ages are measured.
#[must_use]
pub fn boot_time() -> BootTime {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(BootTime(Duration::ZERO), |spec| BootTime(Duration::from(spec)))
}
