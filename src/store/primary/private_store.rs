//! The private store: what the primary stores and never publishes, keys and values in a sled database of its own.
//!
//! Unlike a generation it cannot be built anew, so a loss must be detected. The key `k` + name has a value; `m/format` has the format
//! and `m/state` the digest and count of all values, written in the batch that changes them. sled opens some damaged databases without
//! an error; then values and state disagree, and the store does not open. A log that was cut short opens as the database that it once
//! was, so the writes are numbered, and the file `write_counter` has the last number: 8 bytes, not synced, so after a power failure it may be
//! behind the database, and must never be ahead of it.
//!
//! A write is one batch and one `flush()`. Readers wait for both, so that nobody acts on what a crash could undo. A write for which the
//! disk has no room is refused before it begins: then nothing has changed, everything is read as before, and it may be tried again. After
//! any other failure nothing more is read or written, because sled's memory and the disk may differ.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use crate::model::digest::{Digest, DirectoryDigest};
use crate::store::database::{Database, KeyWrite, encoded_bytes};
use crate::store::error::StoreError;
use crate::store::files::{folder, origin, reserved_space};
use crate::store::write_progress::WriteProgress;

const FORMAT_MARKER: &[u8] = b"sidegate ledger 1";
const FORMAT_KEY: &[u8] = b"m/format";
const STATE_KEY: &[u8] = b"m/state";
const VALUE_PREFIX: u8 = b'k';
/// sled's page cache: the private store is small and seldom read.
const PAGE_CACHE_BYTES: u64 = 16 << 20;
/// The remedy for a private store that lost something.
const RESTORE_FOLDER_REMEDY: &str = "restore the folder from a backup";

/// Several writes, all or none.
#[derive(Clone, Debug, Default)]
pub struct PrivateWrites {
    /// Keys and new values; `None` deletes.
    pub entries: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// An open private store. Cheap to clone.
#[derive(Clone)]
pub struct PrivateStore {
    inner: Arc<PrivateStoreInner>,
}

struct PrivateStoreInner {
    database: Database,
    write_counter: File,
    path: String,
    writer: Mutex<()>,
    /// Write-locked from a batch to the end of its flush.
    flush_lock: RwLock<()>,
    failure: OnceLock<StoreError>,
}

impl PrivateStore {
    /// Opens the private store in a folder of its own; creates it if the folder is missing or empty. Reads all of it once. Blocks.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        if fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none()) {
            Self::create(folder)?;
        }
        folder::ensure_private(folder)?;
        let store = Self::open_files(folder)?;
        store.verify()?;
        Ok(store)
    }

    /// Creates it in another folder and renames that, so that one without its format is damaged, and never just unfinished.
    fn create(folder: &Path) -> Result<(), StoreError> {
        let at = |error: io::Error| StoreError(format!("{}: {error}", folder.display()));
        let mut temporary = folder.as_os_str().to_owned();
        temporary.push(".new");
        let temporary = Path::new(&temporary);
        match fs::remove_dir_all(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(error)),
            _ => {}
        }
        folder::ensure_private(temporary)?;
        Self::open_files(temporary)?.write_format()?;
        folder::sync_tree(temporary)?;
        fs::rename(temporary, folder).map_err(at)?;
        Ok(folder::sync_folder(folder::parent_of(folder))?)
    }

    fn open_files(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.display().to_string();
        let database = Database::open(folder, PAGE_CACHE_BYTES).map_err(|StoreError(reason)| {
            StoreError(format!("{reason}; {}", reserved_space::remedy(folder, &reason, RESTORE_FOLDER_REMEDY)))
        })?;
        let write_counter = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(folder.join("written"));
        let write_counter = write_counter.map_err(|error| StoreError(format!("{path}: {error}")))?;
        let inner = PrivateStoreInner {
            database,
            write_counter,
            path,
            writer: Mutex::default(),
            flush_lock: RwLock::default(),
            failure: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the value of a key.
    pub fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let _settled = self.inner.flush_lock.read().unwrap_or_else(PoisonError::into_inner);
        self.with_database(|database| Ok(database.read(&value_key(key))?.map(|value| value.to_vec())))
    }

    /// Returns all entries whose keys begin with `prefix`, in order, as they were between two writes.
    pub fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<KeyValue>, StoreError> {
        let _settled = self.inner.flush_lock.read().unwrap_or_else(PoisonError::into_inner);
        let plain = |(name, value): (sled::IVec, sled::IVec)| (name.get(1..).unwrap_or_default().to_vec(), value.to_vec());
        self.with_database(|database| database.scan_prefix(&value_key(prefix)).map(|entry| entry.map(plain)).collect())
    }

    /// Writes all or none; on disk when it returns. Blocks.
    pub fn write(&self, writes: PrivateWrites) -> Result<(), StoreError> {
        self.update(|_| Ok((writes, ())))
    }

    /// Calls `decide` and makes its writes, with no other writer in between; on disk when it returns. Blocks. `decide` may read, and must
    /// not write: that would deadlock.
    pub fn update<T, E: From<StoreError>>(&self, decide: impl FnOnce(&Self) -> Result<(PrivateWrites, T), E>) -> Result<T, E> {
        let _writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (writes, outcome) = decide(self)?;
        if !writes.entries.is_empty() {
            self.write_entries(writes)?;
        }
        Ok(outcome)
    }

    /// Returns which file this store was made as: the origin of a file that is written in place from then on.
    pub fn origin(&self) -> Result<String, StoreError> {
        let metadata = self.inner.write_counter.metadata().map_err(|error| self.store_error(&error.to_string()))?;
        Ok(origin::of(&metadata))
    }

    /// Returns why a write failed, if one did.
    #[must_use]
    pub fn write_failure(&self) -> Option<StoreError> {
        self.inner.database.failure()
    }

    /// Returns the size on disk in bytes; 0 if it cannot be read.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.inner.database.size_on_disk()
    }

    /// As [`Database::look_for_room`].
    pub fn look_for_room(&self, probe: bool) -> Result<(), StoreError> {
        self.inner.database.look_for_room(probe)
    }

    /// Returns how far the writes are.
    #[must_use]
    pub fn write_progress(&self) -> WriteProgress {
        self.inner.database.write_progress()
    }

    /// Wakes a write that sled lets wait for ever after a failure. Waits with it for a disk that hangs. Blocks.
    pub fn wake_hanging_write(&self) {
        self.inner.database.wake_hanging_write();
    }

    fn write_entries(&self, writes: PrivateWrites) -> Result<(), StoreError> {
        let _unflushed = self.inner.flush_lock.write().unwrap_or_else(PoisonError::into_inner);
        let PrivateStoreHeader { mut state, write_count: before } = self.load_header()?;
        // Of several writes to one key the last counts, and only that enters the state.
        let last: BTreeMap<Vec<u8>, Option<Vec<u8>>> = writes.entries.into_iter().map(|(key, value)| (value_key(&key), value)).collect();
        for (name, value) in &last {
            if let Some(old) = self.with_database(|database| database.read(name))? {
                state = state.without_record(&digest_input(name, &old));
            }
            if let Some(value) = value {
                state = state.with_record(&digest_input(name, value));
            }
        }
        self.commit_batch(last.into_iter().collect(), PrivateStoreHeader { state, write_count: before + 1 })
    }

    fn commit_batch(&self, mut writes: Vec<KeyWrite>, header: PrivateStoreHeader) -> Result<(), StoreError> {
        writes.push((STATE_KEY.to_vec(), Some(header.encode())));
        self.inner.database.promise_room(encoded_bytes(&writes))?;
        self.with_database(|database| {
            database.write_batch(writes)?;
            database.flush()
        })?;
        // The write is on disk, and the number may be behind it.
        if let Err(error) = self.inner.write_counter.write_all_at(&header.write_count.to_be_bytes(), 0) {
            tracing::warn!(%error, "{}: the number of the last write could not be stored: {error}", self.inner.path);
        }
        Ok(())
    }

    fn write_format(&self) -> Result<(), StoreError> {
        self.commit_batch(vec![(FORMAT_KEY.to_vec(), Some(FORMAT_MARKER.to_vec()))], PrivateStoreHeader::default())
    }

    fn verify(&self) -> Result<(), StoreError> {
        match self.with_database(|database| database.read(FORMAT_KEY))? {
            Some(format) if format == FORMAT_MARKER => {}
            Some(_) => return Err(self.store_error("this private store is of another version; start the version that made it")),
            None => return Err(self.store_error(&format!("records are missing; {RESTORE_FOLDER_REMEDY}"))),
        }
        let actual = self.with_database(|database| {
            database.scan_prefix(&[VALUE_PREFIX]).try_fold(DirectoryDigest::default(), |state, entry| {
                entry.map(|(name, value)| state.with_record(&digest_input(&name, &value)))
            })
        })?;
        let PrivateStoreHeader { state: recorded, write_count: writes } = self.load_header()?;
        if actual != recorded {
            let what = format!("it holds {} values, not the {} that were written; {RESTORE_FOLDER_REMEDY}", actual.count, recorded.count);
            return Err(self.store_error(&what));
        }
        let mut number = [0; 8];
        let write_counter = self.inner.write_counter.read_exact_at(&mut number, 0).map_or(0, |()| u64::from_be_bytes(number));
        if writes < write_counter {
            return Err(self.store_error(&format!("its last {} writes are missing; {RESTORE_FOLDER_REMEDY}", write_counter - writes)));
        }
        Ok(())
    }

    fn load_header(&self) -> Result<PrivateStoreHeader, StoreError> {
        let kept = self.with_database(|database| database.read(STATE_KEY))?;
        kept.as_deref()
            .and_then(PrivateStoreHeader::decode)
            .ok_or_else(|| self.store_error(&format!("its state is missing; {RESTORE_FOLDER_REMEDY}")))
    }

    /// Calls the database, unless an earlier call failed: then it fails with the same error.
    fn with_database<T>(&self, call: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(error) = self.inner.failure.get() {
            return Err(error.clone());
        }
        call(&self.inner.database).map_err(|StoreError(reason)| {
            let error = || {
                self.store_error(&format!(
                    "{reason}; start again, with room on this disk, and if that does not help, {RESTORE_FOLDER_REMEDY}"
                ))
            };
            self.inner.failure.get_or_init(error).clone()
        })
    }

    fn store_error(&self, what: &str) -> StoreError {
        StoreError(format!("{}: {what}", self.inner.path))
    }
}

fn value_key(key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(key.len() + 1);
    name.push(VALUE_PREFIX);
    name.extend_from_slice(key);
    name
}

/// Returns what enters the digest: the length of the name, the name and the value, so that no two entries give the same bytes.
fn digest_input(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut line = (name.len() as u64).to_be_bytes().to_vec();
    line.extend_from_slice(name);
    line.extend_from_slice(value);
    line
}

/// What all values add up to, and the number of writes so far.
#[derive(Clone, Copy, Default)]
struct PrivateStoreHeader {
    state: DirectoryDigest,
    write_count: u64,
}

impl PrivateStoreHeader {
    fn encode(self) -> Vec<u8> {
        let mut bytes = self.state.digest.bytes().to_vec();
        bytes.extend_from_slice(&self.state.count.to_be_bytes());
        bytes.extend_from_slice(&self.write_count.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, numbers) = bytes.split_first_chunk::<32>()?;
        let (count, writes) = numbers.split_first_chunk::<8>()?;
        let state = DirectoryDigest { digest: Digest::from_bytes(digest), count: u64::from_be_bytes(*count) };
        Some(Self { state, write_count: u64::from_be_bytes(writes.try_into().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::{FORMAT_KEY, KeyValue, PrivateStore, PrivateWrites, value_key};
    use crate::store::error::StoreError;

    fn writes(entries: &[(&str, Option<&str>)]) -> PrivateWrites {
        let owned = |text: &str| text.as_bytes().to_vec();
        PrivateWrites { entries: entries.iter().map(|(key, value)| (owned(key), value.map(owned))).collect() }
    }

    fn names(entries: Vec<KeyValue>) -> Vec<String> {
        entries.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_and_what_was_deleted_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let store = PrivateStore::open(&path).unwrap();
        store.write(writes(&[("a/1", Some("one")), ("a/2", Some("two")), ("b/1", Some("three"))])).unwrap();
        store.write(writes(&[("a/1", None), ("a/2", Some("again")), ("c", None)])).unwrap();
        drop(store);
        let store = PrivateStore::open(&path).unwrap();
        assert_eq!(store.read(b"a/1").unwrap(), None);
        assert_eq!(store.read(b"a/2").unwrap().as_deref(), Some(&b"again"[..]));
        assert_eq!(names(store.scan_prefix(b"").unwrap()), ["a/2", "b/1"]);
        assert_eq!(names(store.scan_prefix(b"b").unwrap()), ["b/1"]);
        assert!(store.scan_prefix(b"m/").unwrap().is_empty(), "its own notes are not entries");
    }

    #[test]
    fn the_last_write_to_a_key_counts_and_the_state_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        store.write(writes(&[("a", Some("1")), ("a", None), ("a", Some("2")), ("b", Some("1")), ("b", None)])).unwrap();
        assert_eq!(names(store.scan_prefix(b"").unwrap()), ["a"]);
        store.verify().unwrap();
    }

    #[test]
    fn no_other_writer_comes_between_reading_and_writing() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let add = |store: &PrivateStore| {
            store.update::<_, StoreError>(|store| {
                let count = store.read(b"count")?.map_or(0, |bytes| bytes[0]);
                Ok((PrivateWrites { entries: vec![(b"count".to_vec(), Some(vec![count + 1]))] }, ()))
            })
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).try_for_each(|_| add(&store)).unwrap());
            }
        });
        assert_eq!(store.read(b"count").unwrap(), Some(vec![40]));
    }

    #[test]
    fn a_decision_that_fails_writes_nothing_and_its_error_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let refused = store.update::<(), StoreError>(|_| Err(StoreError("no".to_owned())));
        assert_eq!(refused, Err(StoreError("no".to_owned())));
        store.write(writes(&[("a", Some("1"))])).unwrap();
    }

    #[test]
    fn a_private_store_whose_creation_was_interrupted_is_created_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let begun = folder.path().join("ledger.new");
        fs::create_dir(&begun).unwrap();
        drop(PrivateStore::open_files(&begun).unwrap());
        PrivateStore::open(&path).unwrap().write(writes(&[("a", Some("1"))])).unwrap();
        assert!(PrivateStore::open(&path).unwrap().read(b"a").unwrap().is_some());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_half_written_snapshot_does_not_keep_it_from_opening() {
        let folder = tempfile::tempdir().unwrap();
        PrivateStore::open(folder.path()).unwrap().write(writes(&[("a", Some("1"))])).unwrap();
        fs::write(folder.path().join("snap.FFFFFFFFFFFFFFFF.generating"), "half").unwrap();
        assert!(PrivateStore::open(folder.path()).unwrap().read(b"a").unwrap().is_some());
    }

    #[test]
    fn a_loss_that_sled_does_not_see_is_refused_by_path_and_remedy() {
        for lost in [value_key(b"a"), FORMAT_KEY.to_vec()] {
            let folder = tempfile::tempdir().unwrap();
            let store = PrivateStore::open(folder.path()).unwrap();
            store.write(writes(&[("a", Some("1")), ("b", Some("2"))])).unwrap();
            store.inner.database.write_batch(vec![(lost, None)]).unwrap();
            store.inner.database.flush().unwrap();
            drop(store);
            let message = PrivateStore::open(folder.path()).err().unwrap().to_string();
            assert!(
                message.contains(&*folder.path().to_string_lossy()) && message.contains("restore the folder from a backup"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_truncated_database_is_refused_and_no_panic_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        for round in 0..50 {
            store.write(writes(&[(&format!("{round}"), Some(&"x".repeat(20_000)))])).unwrap();
        }
        drop(store);
        let file = fs::OpenOptions::new().write(true).open(folder.path().join("db")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        for with_snapshot in [true, false] {
            if !with_snapshot {
                let snapshots = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
                snapshots.filter(|path| path.to_string_lossy().contains("snap.")).for_each(|path| fs::remove_file(path).unwrap());
            }
            let message = PrivateStore::open(folder.path()).err().unwrap().to_string();
            assert!(message.contains(&*folder.path().to_string_lossy()) && message.contains("from a backup"), "{message}");
        }
    }

    #[test]
    fn the_write_counter_may_be_behind_the_database_and_never_ahead() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        store.write(writes(&[("a", Some("1"))])).unwrap();
        store.write(writes(&[("a", Some("2"))])).unwrap();
        drop(store);
        for fine in [&[][..], &[0, 0], &1_u64.to_be_bytes(), &2_u64.to_be_bytes()] {
            fs::write(folder.path().join("written"), fine).unwrap();
            PrivateStore::open(folder.path()).unwrap();
        }
        fs::write(folder.path().join("written"), 3_u64.to_be_bytes()).unwrap();
        let message = PrivateStore::open(folder.path()).err().unwrap().to_string();
        assert!(message.contains("its last 1 writes are missing; restore the folder from a backup"), "{message}");
    }

    #[test]
    fn after_a_failure_nothing_more_is_read_or_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = PrivateStore::open(folder.path()).unwrap();
        let message = store.with_database::<()>(|_| Err(StoreError("no room".to_owned()))).unwrap_err();
        assert!(
            message.to_string().contains(&*folder.path().to_string_lossy()) && message.to_string().contains("no room; start again"),
            "{message}"
        );
        assert_eq!(store.read(b"a"), Err(message.clone()));
        assert_eq!(store.write(writes(&[("a", Some("1"))])), Err(message));
    }
}
