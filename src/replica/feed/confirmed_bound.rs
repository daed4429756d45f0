//! How long this host may answer without the primary: the largest bound of its configuration, once the primary has it on disk.
//!
//! The primary tells an operator until when a host that is cut off may still accept a revoked key. So a larger bound than before is used
//! only after the primary has confirmed it, and until then the one that it confirmed before; `status` shows both. What was confirmed is in a
//! small file beside the store. A smaller bound is in that file before the primary is told of it, so that the file never says more than the
//! primary knows.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::files::bound_file::{LoadedBound, SavedBound};
use crate::store::files::folder::FileError;

/// What a store of an earlier version, which has no such file, may use: a primary takes hosts of such a version for such.
const UNCONFIRMED_BOUND: u64 = 24 * 3600;

/// The bound of one store, in whole seconds.
#[derive(Debug, Default)]
pub struct ConfirmedBound {
    file: Option<PathBuf>,
    instance: String,
    /// What the primary is asked for.
    claimed: u64,
    confirmed: AtomicU64,
}

impl ConfirmedBound {
    /// Reads what was confirmed to the store in `folder`, whose random id is `instance`. `configured`: the largest bound of any class.
    /// `has_followed`: whether there is a directory in the store. Blocks.
    #[must_use]
    pub fn open(folder: &Path, instance: &str, configured: Duration, has_followed: bool) -> Self {
        let file = folder.join("confirmed-bound");
        let configured = whole_seconds(configured);
        let known = match SavedBound::load(&file) {
            LoadedBound::Saved(saved) if saved.instance == instance => saved.max_stale,
            LoadedBound::Missing if has_followed => UNCONFIRMED_BOUND.min(configured),
            LoadedBound::Missing | LoadedBound::Saved(_) => 0,
            LoadedBound::Damaged => {
                tracing::warn!("{}: damaged; nothing is answered without the primary until it is heard", file.display());
                0
            }
        };
        let bound = Self { file: Some(file), instance: instance.to_owned(), claimed: configured, confirmed: AtomicU64::new(known) };
        bound.lower_to(configured, known)
    }

    /// Returns the bound of a host that follows no feed: nobody waits for it.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { file: None, instance: String::new(), claimed: u64::MAX, confirmed: AtomicU64::new(u64::MAX) }
    }

    /// Uses no larger bound than `configured`. While that cannot be written, the primary is told the larger one.
    fn lower_to(self, configured: u64, known: u64) -> Self {
        if known <= configured {
            return self;
        }
        self.confirmed.store(configured, Ordering::Relaxed);
        match self.store() {
            Ok(()) => self,
            Err(error) => {
                tracing::warn!("failed to store a smaller bound, so the primary counts with {known} s: {error}");
                Self { claimed: known, ..self }
            }
        }
    }

    /// Returns the random id of the store, as the primary lists it; `None` for a host that follows no feed.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        Some(self.instance.as_str()).filter(|instance| !instance.is_empty())
    }

    /// Returns the bound that the primary is told, in seconds.
    #[must_use]
    pub const fn claimed(&self) -> u64 {
        self.claimed
    }

    /// Returns the bound that may be used, in seconds.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// Notes that the primary has a bound of this host on disk. Returns whether a larger one than before may be used from now on: then it
    /// is to be stored.
    #[must_use]
    pub fn confirm(&self, max_stale: u64) -> bool {
        let confirmed = max_stale.min(self.claimed);
        self.confirmed.fetch_max(confirmed, Ordering::Relaxed) < confirmed
    }

    /// Stores what may be used, for the next start. Blocks.
    pub fn store(&self) -> Result<(), FileError> {
        let Some(file) = &self.file else { return Ok(()) };
        SavedBound { instance: self.instance.clone(), max_stale: self.confirmed() }.save(file)
    }
}

/// Returns the seconds of a bound, rounded up: what is promised is never less than what may happen.
fn whole_seconds(bound: Duration) -> u64 {
    bound.as_secs().saturating_add(u64::from(bound.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{ConfirmedBound, UNCONFIRMED_BOUND};

    fn open(folder: &Path, instance: &str, milliseconds: u64, has_followed: bool) -> ConfirmedBound {
        ConfirmedBound::open(folder, instance, Duration::from_millis(milliseconds), has_followed)
    }

    fn bounds(bound: &ConfirmedBound) -> (u64, u64) {
        (bound.claimed(), bound.confirmed())
    }

    #[test]
    fn a_larger_bound_is_used_once_it_is_confirmed_and_a_smaller_one_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let bound = open(folder.path(), "a", 59_001, false);
        assert_eq!(bounds(&bound), (60, 0), "rounded up, and not used yet");
        assert!(bound.confirm(60) && !bound.confirm(60));
        bound.store().unwrap();
        let larger = open(folder.path(), "a", 3_600_000, true);
        assert_eq!(bounds(&larger), (3600, 60));
        assert!(!larger.confirm(60) && larger.confirm(86_400));
        larger.store().unwrap();
        assert_eq!(bounds(&larger), (3600, 3600));
        assert_eq!(bounds(&open(folder.path(), "a", 10_000, true)), (10, 10));
        assert_eq!(bounds(&open(folder.path(), "a", 3_600_000, true)), (3600, 10), "the primary may count with the smaller one now");
        assert_eq!(bounds(&open(folder.path(), "b", 10_000, true)), (10, 0), "another store is another host");
    }

    #[test]
    fn a_smaller_bound_that_cannot_be_stored_is_used_and_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let bound = open(folder.path(), "a", 60_000, false);
        assert!(bound.confirm(60));
        bound.store().unwrap();
        // Where the new file would be written there is a folder with something in it.
        std::fs::create_dir_all(folder.path().join("confirmed-bound.new/x")).unwrap();
        assert_eq!(bounds(&open(folder.path(), "a", 10_000, true)), (60, 10));
    }

    #[test]
    fn a_store_of_an_earlier_version_uses_its_bound_up_to_what_a_primary_assumes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(bounds(&open(folder.path(), "a", 60_000, true)), (60, 60));
        assert_eq!(bounds(&open(folder.path(), "a", 360_000_000, true)), (360_000, UNCONFIRMED_BOUND));
        std::fs::write(folder.path().join("confirmed-bound"), "damaged").unwrap();
        assert_eq!(bounds(&open(folder.path(), "a", 60_000, true)), (60, 0));
    }
}
