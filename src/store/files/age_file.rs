//! The age of a follower's data, saved for the next start: boot id, boot time, wall time, age, and of which store.
//!
//! Two lines: the values in JSON, and the SHA-256 of that line, so that a flipped digit is detected and does not make the data look younger.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::change::{Epoch, Head};
use crate::model::digest::Digest;
use crate::model::time::{BootTime, Time};
use crate::store::files::atomic_file;
use crate::store::files::folder::FileError;

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// A moment, and how old the data was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedAge {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// The boot time at that moment.
    pub boot_time: BootTime,
    /// The wall time at that moment.
    pub wall_time: Time,
    /// The age at that moment.
    pub age: Duration,
    /// The time since an exchange had last proven it current, then; `None` if none had.
    pub exchange_age: Option<Duration>,
    /// Whether the feed was caught up when contact was lost.
    pub caught_up: bool,
    /// The store's epoch.
    pub epoch: Epoch,
    /// The store's last commit at that moment: a store that is behind it has lost something, and its age is unknown.
    pub seq: u64,
}

impl SavedAge {
    /// Returns whether this is the age of a store with this head. A store that lost the end of its log may open without an error.
    #[must_use]
    pub fn applies_to(&self, head: Option<Head>) -> bool {
        head.is_some_and(|head| head.epoch == self.epoch && head.seq >= self.seq)
    }

    /// Returns the time since that moment: in the same boot the difference of boot time, otherwise the positive difference of wall time.
    #[must_use]
    pub fn elapsed(&self, boot_id: &str, boot: BootTime, wall: Time) -> Duration {
        if boot_id == self.boot_id { boot.since(self.boot_time) } else { wall.since(self.wall_time) }
    }

    /// Reads the file; `None` if there is none or it is damaged: then the age is unknown, and the data counts as expired.
    #[must_use]
    pub fn load(path: &Path) -> Option<Self> {
        let text = atomic_file::read(path).ok()??;
        let (line, digest) = text.strip_suffix('\n')?.split_once('\n')?;
        if digest.parse() != Ok(Digest::of(line.as_bytes())) {
            return None;
        }
        let line: AgeLine = serde_json::from_str(line).ok()?;
        Some(Self {
            boot_id: line.boot_id,
            boot_time: BootTime(line.boot),
            wall_time: line.wall,
            age: line.age,
            exchange_age: line.exchange_age,
            caught_up: line.caught_up,
            epoch: line.epoch,
            seq: line.seq,
        })
    }

    /// Replaces the file; it is on disk when this returns.
    pub fn save(&self, path: &Path) -> Result<(), FileError> {
        let line = AgeLine {
            boot_id: self.boot_id.clone(),
            boot: self.boot_time.0,
            wall: self.wall_time,
            age: self.age,
            exchange_age: self.exchange_age,
            caught_up: self.caught_up,
            epoch: self.epoch,
            seq: self.seq,
        };
        let line = serde_json::to_string(&line).map_err(|error| FileError::io(path)(error.into()))?;
        atomic_file::replace(path, format!("{line}\n{}\n", Digest::of(line.as_bytes())).as_bytes())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgeLine {
    boot_id: String,
    boot: Duration,
    wall: Time,
    age: Duration,
    /// Files of before do not have it: what they were the age of, no exchange had proven.
    #[serde(default)]
    exchange_age: Option<Duration>,
    caught_up: bool,
    epoch: Epoch,
    seq: u64,
}

/// Reads the id of this boot.
pub fn read_boot_id() -> Result<String, FileError> {
    let path = Path::new(BOOT_ID_PATH);
    match atomic_file::read(path)? {
        Some(id) if !id.trim_end().is_empty() => Ok(id.trim_end().to_owned()),
        _ => Err(FileError::invalid(path, "there is no boot id; /proc has to be whole (in a unit: ProcSubset=all)")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{SavedAge, read_boot_id};
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;
    use crate::model::time::{BootTime, Time};

    const HOUR: Duration = Duration::from_secs(3600);

    fn saved() -> SavedAge {
        let wall = "2026-01-31T12:00:00Z".parse().unwrap();
        SavedAge {
            boot_id: "one".to_owned(),
            boot_time: BootTime(10 * HOUR),
            wall_time: wall,
            age: Duration::new(61, 7),
            exchange_age: Some(Duration::new(62, 7)),
            caught_up: true,
            epoch: Epoch(7),
            seq: 9,
        }
    }

    #[test]
    fn in_the_same_boot_the_wall_clock_does_not_count() {
        let saved = saved();
        for wall in [Time::EPOCH, saved.wall_time.plus(100 * HOUR)] {
            assert_eq!(saved.age + saved.elapsed("one", BootTime(12 * HOUR), wall), saved.age + 2 * HOUR);
        }
    }

    #[test]
    fn after_a_reboot_only_a_wall_clock_that_went_on_adds() {
        let saved = saved();
        assert_eq!(saved.age + saved.elapsed("two", BootTime(99 * HOUR), saved.wall_time.plus(3 * HOUR)), saved.age + 3 * HOUR);
        assert_eq!(saved.age + saved.elapsed("two", BootTime(99 * HOUR), Time::EPOCH), saved.age);
    }

    #[test]
    fn an_age_is_not_that_of_a_store_which_lost_commits_or_is_another() {
        let at = |epoch, seq| Some(Head { epoch: Epoch(epoch), seq, state: DirectoryDigest::default() });
        let saved = saved();
        assert!(saved.applies_to(at(7, 9)) && saved.applies_to(at(7, 10)));
        assert!(!saved.applies_to(at(7, 8)) && !saved.applies_to(at(8, 9)) && !saved.applies_to(None));
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("age");
        assert_eq!(SavedAge::load(&path), None);
        saved().save(&path).unwrap();
        assert_eq!(SavedAge::load(&path), Some(saved()));
    }

    #[test]
    fn a_file_that_is_damaged_anywhere_gives_no_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("age");
        saved().save(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(SavedAge::load(&path), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(SavedAge::load(&path), None, "cut at {at}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/age");
        let message = saved().save(&path).unwrap_err().to_string();
        assert!(message.starts_with(&*folder.path().to_string_lossy()) && message.contains("No such file"), "{message}");
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(read_boot_id().unwrap().len(), 36);
        assert_eq!(read_boot_id().unwrap(), read_boot_id().unwrap());
    }

    proptest! {
        #[test]
        fn an_age_never_shrinks(same in any::<bool>(), boot: Duration, wall in 0..253_402_207_199_999_i64, age: Duration) {
            let saved = SavedAge { age, ..saved() };
            let id = if same { "one" } else { "two" };
            prop_assert!(saved.age.saturating_add(saved.elapsed(id, BootTime(boot), Time::from_milliseconds(wall).unwrap())) >= age);
        }
    }
}
