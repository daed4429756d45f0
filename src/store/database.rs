//! The one file that calls sled: opening without the leftovers that keep it from opening, panics turned into [`StoreError`],
//! and our own flush. sled's flush hands the bytes of its log to the disk, but neither the length of the file nor the files of large values,
//! so that a power failure would take back what was confirmed: ours syncs both (database_files.rs).
//!
//! sled 0.34 takes a half-written `snap.*.generating` for its newest snapshot and then never opens again, so these are removed
//! first. Given damaged files it may also panic, while opening and while reading; that is returned as an error. Durability is
//! by [`Database::flush`] alone: sled's own flusher only logs what fails.
//!
//! After its first failed write sled's memory and the disk may differ, all later writes fail, and a thread that waits for the disk, or
//! drops the database, may wait for ever. So whoever has the only copy asks for room by [`Database::promise_room`] before each write, and
//! gives the database up once [`Database::failure`] says something.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::model::clock;
use crate::model::time::Time;
use crate::store::database_files::DatabaseFiles;
use crate::store::error::StoreError;
use crate::store::files::folder::is_storage_full;
use crate::store::files::reserved_space::{self, PromisedRoom, WRITE_HEADROOM};
use crate::store::write_progress::WriteProgress;

/// A key and its new value; `None` deletes it.
pub type KeyWrite = (Vec<u8>, Option<Vec<u8>>);

/// How many bytes must be free for each byte of a batch: sled writes a page again with its neighbours.
const WRITE_AMPLIFICATION: u64 = 3;
const LOCK_ATTEMPTS: usize = 200;
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// One open database. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    sled: sled::Db,
    folder: PathBuf,
    files: Arc<DatabaseFiles>,
    writes: Arc<WriteState>,
}

/// What became of the writes.
#[derive(Default)]
struct WriteState {
    failure: OnceLock<StoreError>,
    begun: AtomicU64,
    ended: AtomicU64,
    /// What the write that is being made was promised, until it is flushed.
    room: Mutex<Option<PromisedRoom>>,
    /// Since when the file system has been seen to take no writes.
    read_only_since: Mutex<Option<Time>>,
}

impl Database {
    /// Opens the database in the folder, or creates one there. Blocks.
    pub fn open(folder: &Path, page_cache: u64) -> Result<Self, StoreError> {
        let at = |error: io::Error| StoreError(format!("{}: {error}", folder.display()));
        remove_partial_snapshots(folder).map_err(at)?;
        let config = sled::Config::new().path(folder).cache_capacity(page_cache).flush_every_ms(None);
        let mut opened = open_with_lock_retry(&config);
        if lacks_room(&opened, folder) && reserved_space::release(folder).map_err(at)? {
            tracing::warn!("{}: this disk is full; opening the database with the space reserved for it", folder.display());
            remove_partial_snapshots(folder).map_err(at)?;
            opened = open_with_lock_retry(&config);
        }
        let sled = opened.map_err(|StoreError(reason)| StoreError(format!("{}: {reason}", folder.display())))?;
        if let Err(error) = reserved_space::reserve(folder) {
            tracing::warn!("{}: cannot reserve space for the next opening: {error}; make room on this disk", folder.display());
        }
        make_private(folder).map_err(at)?;
        let files = Arc::new(DatabaseFiles::open(folder).map_err(at)?);
        Ok(Self { sled, folder: folder.to_owned(), files, writes: Arc::default() })
    }

    /// Returns whether the database existed before it was opened.
    pub fn was_recovered(&self) -> bool {
        self.sled.was_recovered()
    }

    /// Returns the value of a key.
    pub fn read(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        catch_panics(|| self.sled.get(key))
    }

    /// Returns the last key before `bound`, with its value.
    pub fn last_before(&self, bound: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        catch_panics(|| self.sled.get_lt(bound))
    }

    /// Iterates over the keys with this prefix, in order; each is read when the iterator reaches it.
    pub fn scan_prefix(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(sled::IVec, sled::IVec), StoreError>> + use<> {
        let mut entries = self.sled.scan_prefix(prefix);
        std::iter::from_fn(move || catch_panics(|| entries.next().transpose()).transpose())
    }

    /// Returns the first key after `bound`, with its value.
    pub fn first_after(&self, bound: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        catch_panics(|| self.sled.get_gt(bound))
    }

    /// Writes one key on its own: only for a database that nobody reads yet, where a batch would needlessly stop every reader of
    /// the process.
    pub fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), StoreError> {
        self.record_write(|| self.sled.insert(key, value)).map(drop)
    }

    /// Promises a write of so many bytes its room, until the next [`Database::flush`] has ended; or refuses it if the disk has no room for
    /// it, or takes no writes. What else cannot be found out refuses nothing.
    pub fn promise_room(&self, bytes: u64) -> Result<(), StoreError> {
        let needed = WRITE_HEADROOM.saturating_add(bytes.saturating_mul(WRITE_AMPLIFICATION));
        self.release_room();
        let promised = reserved_space::promise(&self.folder, needed);
        self.judge(promised.as_ref().err(), needed)?;
        *lock(&self.writes.room) = promised.ok();
        Ok(())
    }

    /// Refuses if the disk has no room for any write, or takes none. With `probe` a little is allocated, but never what a write was
    /// promised: that finds a quota too, and a file system that the kernel has closed to writes. Once a write has found that, each look does.
    pub fn look_for_room(&self, probe: bool) -> Result<(), StoreError> {
        let looked = if probe || lock(&self.writes.read_only_since).is_some() {
            reserved_space::look(&self.folder, WRITE_HEADROOM)
        } else {
            reserved_space::check_reported_free(&self.folder, WRITE_HEADROOM)
        };
        self.judge(looked.as_ref().err(), WRITE_HEADROOM)
    }

    fn judge(&self, error: Option<&io::Error>, needed: u64) -> Result<(), StoreError> {
        let mut read_only_since = lock(&self.writes.read_only_since);
        match error {
            Some(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Err(StoreError::read_only(&self.folder, *read_only_since.get_or_insert_with(clock::wall_time)))
            }
            Some(error) if is_storage_full(error) => {
                *read_only_since = None;
                Err(StoreError::disk_full(&self.folder, needed))
            }
            Some(_) => Ok(()),
            None => {
                *read_only_since = None;
                Ok(())
            }
        }
    }

    fn release_room(&self) {
        let _given_back = lock(&self.writes.room).take();
    }

    /// Returns why a write failed, if one did: what this database says from then on may not be what is on disk.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.writes.failure.get().cloned()
    }

    /// Returns how far the writes are. One that makes no progress hangs: on the disk, or in sled after a failure.
    #[must_use]
    pub fn write_progress(&self) -> WriteProgress {
        let ended = self.writes.ended.load(Ordering::Acquire);
        WriteProgress { is_writing: self.writes.begun.load(Ordering::Acquire) > ended, ended }
    }

    fn record_write<T>(&self, write: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        self.writes.begun.fetch_add(1, Ordering::AcqRel);
        let outcome = catch_panics(write);
        if let Err(StoreError(reason)) = &outcome {
            self.writes.failure.get_or_init(|| StoreError(format!("{}: {reason}", self.folder.display())));
        }
        self.writes.ended.fetch_add(1, Ordering::AcqRel);
        outcome
    }

    /// Writes all or none. Every reader of every database of the process waits meanwhile, so keep it small.
    pub fn write_batch(&self, writes: Vec<KeyWrite>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.record_write(|| self.sled.apply_batch(batch))
    }

    /// Writes everything to disk; returns when it is there.
    pub fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.record_write(|| {
            self.sled.flush()?;
            Ok(self.files.sync()?)
        });
        self.release_room();
        flushed
    }

    /// Wakes a write that sled lets wait for ever after a failure, which [`Database::failure`] then knows of. Waits with it for a disk that
    /// hangs.
    pub fn wake_hanging_write(&self) {
        let _recorded = self.record_write(|| self.sled.flush());
    }

    /// As [`Database::flush`], and syncs the names of the files as well: for a new database.
    pub fn flush_and_sync_folder(&self) -> Result<(), StoreError> {
        self.flush()?;
        let synced = make_private(&self.folder).and_then(|()| fs::File::open(&self.folder)?.sync_all());
        synced.map_err(|error| StoreError(format!("{}: {error}", self.folder.display())))
    }

    /// Returns the size on disk in bytes; 0 if it cannot be read.
    pub fn size_on_disk(&self) -> u64 {
        catch_panics(|| self.sled.size_on_disk()).unwrap_or(0)
    }

    /// Returns the folder of the database.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Returns the bytes of the keys and values that a batch writes.
pub fn encoded_bytes(writes: &[KeyWrite]) -> u64 {
    writes.iter().map(|(key, value)| (key.len() + value.as_ref().map_or(0, Vec::len)) as u64).sum()
}

/// Returns whether a database may not have opened because its disk was full.
fn lacks_room(opened: &Result<sled::Db, StoreError>, folder: &Path) -> bool {
    opened.as_ref().is_err_and(|StoreError(reason)| reserved_space::is_of_full_disk(reason) || reserved_space::is_disk_full(folder))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens, and waits a little for sled's lock: between fork and exec a child process has our descriptors, and with them the lock
/// of a database that was closed a moment ago. Against other daemons the folder of generations has a lock of its own.
fn open_with_lock_retry(config: &sled::Config) -> Result<sled::Db, StoreError> {
    for _ in 0..LOCK_ATTEMPTS {
        match catch_panics(|| config.open()) {
            Err(StoreError(reason)) if reason.contains("could not acquire lock") => std::thread::sleep(LOCK_RETRY_INTERVAL),
            opened => return opened,
        }
    }
    catch_panics(|| config.open())
}

fn catch_panics<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| StoreError(error.to_string())),
        Err(_) => Err(StoreError("the database panicked".to_owned())),
    }
}

fn remove_partial_snapshots(folder: &Path) -> io::Result<()> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        files => files?,
    };
    for file in files {
        let file = file?;
        let name = file.file_name();
        let partial = name.to_str().is_some_and(|name| name.starts_with("snap.") && name.ends_with(".generating"));
        if partial {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}

/// Closes sled's files to others: sled creates them as the umask says, and they contain tokens of storages.
fn make_private(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    for file in fs::read_dir(folder)? {
        let file = file?;
        let mode = if file.file_type()?.is_dir() { 0o700 } else { 0o600 };
        match fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)) {
            // sled removes an older snapshot by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Database, catch_panics};

    #[test]
    fn a_half_written_snapshot_does_not_keep_it_from_opening() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        database.insert(b"a", b"1".to_vec()).unwrap();
        database.flush_and_sync_folder().unwrap();
        drop(database);
        fs::write(folder.path().join("snap.00000000FFFFFFFF.generating"), b"half").unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        assert!(database.was_recovered());
        assert_eq!(database.read(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    }

    #[test]
    fn a_panic_inside_sled_is_an_error() {
        assert!(catch_panics::<()>(|| panic!("as sled does on damaged files")).is_err());
    }

    #[test]
    fn nobody_else_may_read_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let _database = Database::open(folder.path(), 1 << 20).unwrap();
        for file in fs::read_dir(folder.path()).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o077, 0);
        }
    }
}
