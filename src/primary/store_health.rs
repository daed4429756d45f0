//! Whether the primary's store can be written, judged from what is seen of it; nothing here looks at the disk or the clock.

use std::time::Duration;

use serde::Serialize;

use crate::model::time::{BootTime, Time};
use crate::store::write_progress::WriteProgress;

/// After so long without progress a write counts as hanging.
const HANGING_AFTER: Duration = Duration::from_secs(5);
/// After so long without progress on a full disk a write has failed: sled lets it wait for ever.
const FAILED_AFTER: Duration = Duration::from_secs(20);

/// Whether the store can be written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StoreHealth {
    /// It can.
    #[default]
    Writable,
    /// Its disk is full. What it has is answered; each write is refused before it begins.
    DiskFull {
        /// Since when.
        since: Time,
        /// The folder, and how much must be free.
        reason: String,
    },
    /// A write makes no progress.
    Hanging {
        /// Since when.
        since: Time,
    },
    /// A write has failed: what can be read may not be what is on disk. The primary ends, and starts again.
    Failed {
        /// The error.
        reason: String,
    },
}

/// What is seen of a store at one moment.
pub struct StoreObservation {
    /// Why a write failed, if one did.
    pub failure: Option<String>,
    /// Why the disk has no room for a write, if it has none.
    pub no_room: Option<String>,
    /// For how long a write has made no progress; zero if none is under way.
    pub stalled: Duration,
}

impl StoreHealth {
    /// Returns the state after an observation at `now`.
    #[must_use]
    pub fn after(&self, seen: StoreObservation, now: Time) -> Self {
        match seen {
            StoreObservation { failure: Some(reason), .. } => Self::Failed { reason },
            StoreObservation { no_room: Some(_), stalled, .. } if stalled >= FAILED_AFTER => {
                Self::Failed { reason: format!("a write has not ended for {} s on a full disk", stalled.as_secs()) }
            }
            StoreObservation { no_room: Some(reason), .. } => {
                let since = if let Self::DiskFull { since, .. } = self { *since } else { now };
                Self::DiskFull { since, reason }
            }
            StoreObservation { stalled, .. } if stalled >= HANGING_AFTER => {
                let since = if let Self::Hanging { since } = self { *since } else { now };
                Self::Hanging { since }
            }
            StoreObservation { .. } => Self::Writable,
        }
    }

    /// Returns the reason of its alarm in metrics; `None` while the store can be written.
    #[must_use]
    pub const fn alarm(&self) -> Option<&'static str> {
        match self {
            Self::Writable => None,
            Self::DiskFull { .. } => Some("disk_full"),
            Self::Hanging { .. } => Some("store_hanging"),
            Self::Failed { .. } => Some("store_failed"),
        }
    }

    /// Returns what an operator should know and do; `None` while the store can be written.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Writable => None,
            Self::DiskFull { since, reason } => Some(format!(
                "since {since} the primary answers from what it has and takes no change, because its disk is full ({reason}); it goes on \
                 by itself once there is room"
            )),
            Self::Hanging { since } => Some(format!("since {since} a write to the primary's store has not ended; look at its disk")),
            Self::Failed { reason } => {
                Some(format!("a write to the primary's store failed, and the primary ends so that systemd starts it again: {reason}"))
            }
        }
    }
}

/// Since when the writes of some databases have made no progress.
#[derive(Default)]
pub struct StallClock {
    last: Vec<(WriteProgress, BootTime)>,
}

impl StallClock {
    /// Takes in how far the writes are, and returns for how long the slowest has made no progress.
    pub fn observe(&mut self, progress: &[WriteProgress], now: BootTime) -> Duration {
        let last = std::mem::take(&mut self.last);
        self.last = progress
            .iter()
            .enumerate()
            .map(|(index, seen)| match last.get(index) {
                Some((before, since)) if seen.is_writing && before == seen => (*seen, *since),
                _ => (*seen, now),
            })
            .collect();
        self.last.iter().map(|(_, since)| now.since(*since)).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FAILED_AFTER, HANGING_AFTER, StallClock, StoreHealth, StoreObservation};
    use crate::model::time::{BootTime, Time};
    use crate::store::write_progress::WriteProgress;

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1_000).unwrap()
    }

    fn seen(failure: Option<&str>, no_room: Option<&str>, stalled: Duration) -> StoreObservation {
        StoreObservation { failure: failure.map(str::to_owned), no_room: no_room.map(str::to_owned), stalled }
    }

    #[test]
    fn a_full_disk_is_dated_from_its_first_sight_and_ends_with_room() {
        let full = StoreHealth::Writable.after(seen(None, Some("/store"), Duration::ZERO), at(5));
        assert_eq!(full, StoreHealth::DiskFull { since: at(5), reason: "/store".to_owned() });
        let later = full.after(seen(None, Some("/store"), Duration::ZERO), at(9));
        assert_eq!(later, full);
        assert!(full.message().unwrap().contains("/store") && full.alarm() == Some("disk_full"));
        assert_eq!(later.after(seen(None, None, Duration::ZERO), at(10)), StoreHealth::Writable);
    }

    #[test]
    fn a_write_that_makes_no_progress_hangs_and_on_a_full_disk_it_has_failed() {
        let hanging = StoreHealth::Writable.after(seen(None, None, HANGING_AFTER), at(5));
        assert_eq!(hanging, StoreHealth::Hanging { since: at(5) });
        assert_eq!(hanging.after(seen(None, None, FAILED_AFTER), at(9)), hanging, "a disk that hangs may come back");
        let full = hanging.after(seen(None, Some("/store"), HANGING_AFTER), at(9));
        assert!(matches!(full, StoreHealth::DiskFull { .. }));
        assert!(matches!(full.after(seen(None, Some("/store"), FAILED_AFTER), at(9)), StoreHealth::Failed { .. }));
    }

    #[test]
    fn a_failure_counts_above_all() {
        let failed = StoreHealth::Writable.after(seen(Some("I/O error"), Some("/store"), HANGING_AFTER), at(5));
        assert_eq!(failed, StoreHealth::Failed { reason: "I/O error".to_owned() });
        assert!(failed.message().unwrap().contains("I/O error"));
    }

    #[test]
    fn only_a_write_without_progress_is_counted() {
        let boot = |seconds| BootTime(Duration::from_secs(seconds));
        let (idle, busy) = (WriteProgress { is_writing: false, ended: 1 }, |ended| WriteProgress { is_writing: true, ended });
        let mut clock = StallClock::default();
        assert_eq!(clock.observe(&[idle, busy(3)], boot(1)), Duration::ZERO);
        assert_eq!(clock.observe(&[idle, busy(3)], boot(4)), Duration::from_secs(3));
        assert_eq!(clock.observe(&[idle, busy(4)], boot(5)), Duration::ZERO, "the next one");
        assert_eq!(clock.observe(&[idle, busy(4)], boot(7)), Duration::from_secs(2));
        assert_eq!(clock.observe(&[idle, WriteProgress { is_writing: false, ended: 5 }], boot(9)), Duration::ZERO);
    }
}
