//! Keeps the age of the directory over a restart: saves it beside the store, and restores it for the store it was saved for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::ReplicaReading;
use crate::replica::blocking::run_blocking;
use crate::replica::follow::store_task::StoreTaskError;
use crate::store::files::age_file::{SavedAge, read_boot_id};
use crate::store::files::atomic_file;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::Generation;

/// The age file of one store.
pub struct AgeKeeper {
    path: PathBuf,
}

/// What the file says of the store, as of now. The default is known of a store without a file.
#[derive(Clone, Copy, Default)]
pub struct RestoredAge {
    /// The time since the directory was last proven current; `None` if it is not known.
    pub age: Option<Duration>,
    /// The time since it was last proven current by an exchange; `None` if it never was.
    pub exchange_age: Option<Duration>,
    /// Whether the feed was caught up when contact was lost.
    pub caught_up: bool,
}

impl AgeKeeper {
    /// Keeps the age of the store in `folder`.
    pub fn in_store(folder: &Path) -> Self {
        Self { path: folder.join("age") }
    }

    /// Returns what was saved for a store at `head`.
    pub fn restore(&self, head: Head) -> RestoredAge {
        let Some(saved) = SavedAge::load(&self.path) else { return RestoredAge::default() };
        if !saved.applies_to(Some(head)) {
            tracing::warn!("the saved age is of another store, or the store has lost its last commits: its age is unknown");
            return RestoredAge::default();
        }
        let Ok(boot_id) = read_boot_id() else { return RestoredAge { caught_up: saved.caught_up, ..RestoredAge::default() } };
        let since = saved.elapsed(&boot_id, clock::boot_time(), clock::wall_time());
        RestoredAge {
            age: Some(saved.age.saturating_add(since)),
            exchange_age: saved.exchange_age.map(|age| age.saturating_add(since)),
            caught_up: saved.caught_up,
        }
    }

    /// Removes what was saved: after a restart the age is unknown, and nothing is answered without the primary.
    pub fn forget(&self) -> Result<(), FileError> {
        atomic_file::remove(&self.path)
    }

    /// Flushes the generation and then saves its age as it is now: never that of data that is not on disk. Returns the
    /// generation's size on disk, in bytes.
    pub async fn save(&self, generation: Generation, reading: &ReplicaReading) -> Result<u64, StoreTaskError> {
        let (boot_time, wall_time) = (clock::boot_time(), clock::wall_time());
        let (age, caught_up) = (reading.age(boot_time), reading.caught_up);
        let exchange_age = reading.exchange_proven_at.map(|proven_at| proven_at.age(boot_time));
        let path = self.path.clone();
        run_blocking(move || {
            generation.flush()?;
            if let (Some(age), Some(Head { epoch, seq, .. })) = (age, generation.head()) {
                SavedAge { boot_id: read_boot_id()?, boot_time, wall_time, age, exchange_age, caught_up, epoch, seq }.save(&path)?;
            }
            Ok(generation.size_on_disk())
        })
        .await
    }
}
