//! Whether the primary's store can be written, judged from what is seen of it; nothing here looks at the disk or the clock.

use std::time::Duration;

use serde::Serialize;

use crate::api::standing_alarm::AlarmKind;
use crate::model::time::{BootTime, Time};
use crate::primary::alarm_kinds::{DISK_FULL, STORE_FAILED, STORE_HANGING, STORE_READ_ONLY};
use crate::store::error::StoreError;
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
    /// Its file system takes no writes: it was mounted so, or the kernel has made it so after an error. All as with a full disk.
    ReadOnly {
        /// Since when.
        since: Time,
        /// The folder.
        reason: String,
    },
    /// A write, or a look at its disk, makes no progress.
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
    pub failure: Option<StoreError>,
    /// Whether the disk has room for a write.
    pub room: RoomCheck,
    /// For how long a write has made no progress; zero if none is under way.
    pub stalled: Duration,
}

/// What the disk says when it is asked for room.
#[derive(Clone, Debug)]
pub enum RoomCheck {
    /// There is room.
    Found,
    /// It takes no write, for this reason.
    Refused(StoreError),
    /// It has not answered for so long.
    Pending(Duration),
}

impl StoreHealth {
    /// Returns the state after an observation at `now`.
    #[must_use]
    pub fn after(&self, seen: StoreObservation, now: Time) -> Self {
        let StoreObservation { failure, room, stalled } = seen;
        if let Some(StoreError(reason)) = failure {
            return Self::Failed { reason };
        }
        let unanswered = if let RoomCheck::Pending(duration) = room { duration } else { Duration::ZERO };
        match room {
            RoomCheck::Refused(error) => self.after_refusal(error, stalled, now),
            RoomCheck::Found | RoomCheck::Pending(_) if stalled.max(unanswered) >= HANGING_AFTER => {
                let since = if let Self::Hanging { since } = self { *since } else { now.minus(stalled.max(unanswered)) };
                Self::Hanging { since }
            }
            // It may only be slow: what was seen last holds.
            RoomCheck::Pending(_) => self.clone(),
            RoomCheck::Found => Self::Writable,
        }
    }

    fn after_refusal(&self, error: StoreError, stalled: Duration, now: Time) -> Self {
        if let Some((folder, seen_since)) = error.read_only_folder_and_since() {
            let since = if let Self::ReadOnly { since, .. } = self { *since } else { seen_since };
            return Self::ReadOnly { since, reason: folder.to_owned() };
        }
        let StoreError(reason) = error;
        match self {
            _ if stalled >= FAILED_AFTER => {
                Self::Failed { reason: format!("a write has not ended for {} s on a full disk", stalled.as_secs()) }
            }
            Self::DiskFull { since, .. } => Self::DiskFull { since: *since, reason },
            _ => Self::DiskFull { since: now, reason },
        }
    }

    /// Returns since when the store cannot be written, and `None` while it can. A failed write ends the primary at once.
    #[must_use]
    pub const fn since(&self) -> Option<Time> {
        match self {
            Self::Writable | Self::Failed { .. } => None,
            Self::DiskFull { since, .. } | Self::ReadOnly { since, .. } | Self::Hanging { since } => Some(*since),
        }
    }

    /// Returns the kind of its alarm; `None` while the store can be written.
    #[must_use]
    pub const fn alarm(&self) -> Option<AlarmKind> {
        match self {
            Self::Writable => None,
            Self::DiskFull { .. } => Some(DISK_FULL),
            Self::ReadOnly { .. } => Some(STORE_READ_ONLY),
            Self::Hanging { .. } => Some(STORE_HANGING),
            Self::Failed { .. } => Some(STORE_FAILED),
        }
    }

    /// Returns what an operator should know and do; `None` while the store can be written.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Writable => None,
            Self::DiskFull { since, reason } => Some(format!(
                "since {since} this daemon answers from what it has and takes no change, because its disk is full ({reason}); it goes on \
                 by itself once there is room"
            )),
            Self::ReadOnly { since, reason } => Some(format!(
                "since {since} this daemon answers from what it has and takes no change, because the file system of its store is read-only \
                 ({reason}); the kernel's log says why, and it goes on by itself once that is mounted writable"
            )),
            Self::Hanging { since } => Some(format!(
                "since {since} the disk of this daemon's store has not answered, or a write to it has not ended; look at that disk"
            )),
            Self::Failed { reason } => {
                Some(format!("a write to this daemon's store failed, and it ends so that systemd starts it again: {reason}"))
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
    use std::path::Path;
    use std::time::Duration;

    use super::{FAILED_AFTER, HANGING_AFTER, RoomCheck, StallClock, StoreHealth, StoreObservation};
    use crate::model::time::{BootTime, Time};
    use crate::primary::alarm_kinds::{DISK_FULL, STORE_READ_ONLY};
    use crate::store::error::StoreError;
    use crate::store::write_progress::WriteProgress;

    fn at(seconds: i64) -> Time {
        Time::from_milliseconds(seconds * 1_000).unwrap()
    }

    fn seen(failure: Option<&str>, no_room: Option<&str>, stalled: Duration) -> StoreObservation {
        let error = |text: &str| StoreError(text.to_owned());
        let room = no_room.map_or(RoomCheck::Found, |text| RoomCheck::Refused(error(text)));
        StoreObservation { failure: failure.map(error), room, stalled }
    }

    fn unanswered(duration: Duration) -> StoreObservation {
        StoreObservation { failure: None, room: RoomCheck::Pending(duration), stalled: Duration::ZERO }
    }

    fn read_only() -> StoreObservation {
        let room = RoomCheck::Refused(StoreError::read_only(Path::new("/store"), at(1)));
        StoreObservation { failure: None, room, stalled: Duration::ZERO }
    }

    #[test]
    fn a_read_only_file_system_is_no_full_disk_and_ends_once_it_takes_writes() {
        let closed = StoreHealth::Writable.after(read_only(), at(5));
        assert!(matches!(&closed, StoreHealth::ReadOnly { since, .. } if *since == at(1)), "since a write saw it: {closed:?}");
        assert_eq!((closed.alarm(), closed.since()), (Some(STORE_READ_ONLY), Some(at(1))));
        let message = closed.message().unwrap();
        assert!(message.contains("/store") && message.contains("mounted writable") && !message.contains("full"), "{message}");
        assert_eq!(closed.after(read_only(), at(9)), closed);
        assert_eq!(closed.after(seen(None, None, Duration::ZERO), at(10)), StoreHealth::Writable);
    }

    #[test]
    fn a_disk_that_does_not_answer_hangs_from_when_it_was_asked_and_says_nothing_before() {
        let full = StoreHealth::Writable.after(seen(None, Some("/store"), Duration::ZERO), at(5));
        assert_eq!(full.after(unanswered(Duration::from_secs(1)), at(6)), full);
        assert_eq!(StoreHealth::Writable.after(unanswered(Duration::from_secs(1)), at(6)), StoreHealth::Writable);
        let hanging = full.after(unanswered(HANGING_AFTER), at(20));
        assert_eq!(hanging, StoreHealth::Hanging { since: at(15) });
        assert_eq!(hanging.after(unanswered(FAILED_AFTER), at(35)), hanging);
    }

    #[test]
    fn a_full_disk_is_dated_from_its_first_sight_and_ends_with_room() {
        let full = StoreHealth::Writable.after(seen(None, Some("/store"), Duration::ZERO), at(5));
        assert_eq!(full, StoreHealth::DiskFull { since: at(5), reason: "/store".to_owned() });
        let later = full.after(seen(None, Some("/store"), Duration::ZERO), at(9));
        assert_eq!(later, full);
        assert!(full.message().unwrap().contains("/store") && full.alarm() == Some(DISK_FULL));
        assert_eq!(later.after(seen(None, None, Duration::ZERO), at(10)), StoreHealth::Writable);
    }

    #[test]
    fn a_write_that_makes_no_progress_hangs_and_on_a_full_disk_it_has_failed() {
        let hanging = StoreHealth::Writable.after(seen(None, None, HANGING_AFTER), at(5));
        assert_eq!(hanging, StoreHealth::Hanging { since: at(0) }, "since its last progress");
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
