//! A follower's age over a restart: (boot id, boot time, wall time, age) in a small file.

use std::path::Path;
use std::time::Duration;

use crate::model::time::{BootTime, Time};
use crate::store::folder::Refused;

/// One moment, and how old the data was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Boot time then.
    pub boot: BootTime,
    /// Wall time then.
    pub wall: Time,
    /// The age then.
    pub age: Duration,
    /// Whether the feed was caught up when contact was lost.
    pub caught_up: bool,
}

impl Kept {
    /// The age now: in the same boot the difference of boot time is added, else the positive difference of wall time; never less.
    #[must_use]
    pub fn age_at(&self, _boot_id: &str, _boot: BootTime, _wall: Time) -> Duration {
        todo!()
    }

    /// Reads the file; `None` if there is none or it is damaged (then nothing is known: expired).
    #[must_use]
    pub fn read(_path: &Path) -> Option<Self> {
        todo!()
    }

    /// Writes the file: beside, synced, renamed.
    pub fn write(&self, _path: &Path) -> Result<(), Refused> {
        todo!()
    }
}

/// The id of this boot.
pub fn boot_id() -> Result<String, Refused> {
    todo!()
}
