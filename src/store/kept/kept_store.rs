//! The store of kept answers as others hold it: what is noted is written by one thread, within a second.
//!
//! Nobody waits for the disk but who wants to ([`KeptAnswerStore::flush`]). Of several notes about one question only the last is written.
//! A database that cannot be written is removed at once, so that nothing that was removed comes back after a restart, and a new one is
//! tried every ten seconds; meanwhile answers are kept in memory only.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::clock;
use crate::model::clock_reading::{BootId, ClockReading};
use crate::model::kept_answer::{FlushFuture, KeptAnswer, KeptAnswerStore, KeptStoreStatus, QuestionKey};
use crate::model::time::BootTime;
use crate::store::error::StoreError;
use crate::store::files::age_file::read_boot_id;
use crate::store::files::folder::{self, FileError};
use crate::store::files::lock_file::acquire_lock;
use crate::store::kept::kept_database::{KeptDatabase, KeptWrite, LoadedAnswers, discard};

/// How long a note may wait for others, so that one flush serves them all.
const WRITE_DELAY: Duration = Duration::from_millis(250);
/// How often the clock is written where nothing else is.
const CLOCK_INTERVAL: Duration = Duration::from_secs(30);
/// How often a new database is tried after one could not be written.
const REOPEN_INTERVAL: Duration = Duration::from_secs(10);
/// The most memory that the database takes for pages, in bytes: it is read once as a whole, and from then on only to see which bodies are there.
const MAX_PAGE_CACHE: u64 = 8 << 20;
/// How many notes may wait; further answers are kept in memory only. Removals are always noted.
const MAX_WAITING_WRITES: usize = 200_000;

/// Takes what the database held when it was opened; called once, on the thread that writes.
pub type LoadedFn = Box<dyn FnOnce(LoadedAnswers) + Send>;

/// The store of kept answers. Its thread ends with [`KeptStore::stop`].
pub struct KeptStore {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Keeps other daemons out of the folder, unless something else of this process does.
    _lock: Option<File>,
}

struct Shared {
    folder: PathBuf,
    page_cache: u64,
    boot_id: BootId,
    queue: Mutex<Queue>,
    wake: Condvar,
    /// The number of the last note that is on disk.
    flushed: watch::Sender<u64>,
}

#[derive(Default)]
struct Queue {
    writes: HashMap<QuestionKey, Option<Arc<KeptAnswer>>>,
    /// How many writes were taken and are not flushed yet.
    being_written: usize,
    /// When the oldest of them was noted.
    writing_since: Option<BootTime>,
    /// The number of the last note.
    noted: u64,
    /// The number of the last removal.
    removed: u64,
    /// When the oldest of the waiting notes was made.
    oldest: Option<BootTime>,
    flush_requested: bool,
    stopping: bool,
    status: KeptStoreStatus,
}

/// The database, as far as there is one.
struct Disk {
    database: Option<KeptDatabase>,
    /// Whether nothing of before is readable there where there is none.
    is_gone: bool,
    tried_at: BootTime,
}

struct Batch {
    writes: Vec<KeptWrite<Arc<KeptAnswer>>>,
    noted: u64,
    is_last: bool,
}

impl KeptStore {
    /// Checks and locks the folder of the store; nothing is read yet. Fails for a folder that is not ours, or in use.
    pub fn prepare(folder: &Path, page_cache: u64) -> Result<Arc<Self>, FileError> {
        folder::ensure_private(folder)?;
        let lock = acquire_lock(&folder.join("LOCK"))?;
        Self::prepare_locked(folder, page_cache, Some(lock))
    }

    /// The same in a folder that this process has locked for the generations of a directory.
    pub fn prepare_beside_generations(folder: &Path, page_cache: u64) -> Result<Arc<Self>, FileError> {
        folder::ensure_private(folder)?;
        Self::prepare_locked(folder, page_cache, None)
    }

    fn prepare_locked(folder: &Path, page_cache: u64, lock: Option<File>) -> Result<Arc<Self>, FileError> {
        let boot_id = BootId::parse(&read_boot_id()?).map_err(|error| FileError::invalid(folder, error.to_string()))?;
        let status = KeptStoreStatus { state: "opening".to_owned(), ..KeptStoreStatus::default() };
        let shared = Shared {
            folder: folder.join("kept"),
            page_cache: page_cache.min(MAX_PAGE_CACHE),
            boot_id,
            queue: Mutex::new(Queue { status, ..Queue::default() }),
            wake: Condvar::new(),
            flushed: watch::Sender::new(0),
        };
        Ok(Arc::new(Self { shared: Arc::new(shared), thread: Mutex::new(None), _lock: lock }))
    }

    /// Opens the database on a thread of its own, which writes from then on. `loaded` is called there, also if there was nothing to load.
    pub fn start(&self, loaded: LoadedFn) -> Result<(), FileError> {
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new().name("kept-answers".to_owned()).spawn(move || shared.run(loaded));
        *lock(&self.thread) = Some(spawned.map_err(FileError::io(&self.shared.folder))?);
        Ok(())
    }

    /// Writes all that was noted, and ends the thread. Blocks.
    pub fn stop(&self) {
        lock(&self.shared.queue).stopping = true;
        self.shared.wake.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes kept answers panicked");
        }
    }
}

impl Drop for KeptStore {
    fn drop(&mut self) {
        self.stop();
    }
}

impl KeptAnswerStore for KeptStore {
    fn put(&self, key: QuestionKey, answer: Arc<KeptAnswer>) {
        let mut queue = lock(&self.shared.queue);
        if queue.writes.len() >= MAX_WAITING_WRITES && !queue.writes.contains_key(&key) {
            queue.status.dropped += 1;
            return;
        }
        queue.note(key, Some(answer));
        drop(queue);
        self.shared.wake.notify_one();
    }

    fn remove(&self, keys: &[QuestionKey]) {
        if keys.is_empty() {
            return;
        }
        let mut queue = lock(&self.shared.queue);
        keys.iter().for_each(|key| queue.note(*key, None));
        queue.removed = queue.noted;
        drop(queue);
        self.shared.wake.notify_one();
    }

    fn has_unflushed_removals(&self) -> bool {
        lock(&self.shared.queue).removed > *self.shared.flushed.borrow()
    }

    fn flush(&self) -> FlushFuture {
        let noted = {
            let mut queue = lock(&self.shared.queue);
            queue.flush_requested = true;
            queue.noted
        };
        self.shared.wake.notify_one();
        let mut flushed = self.shared.flushed.subscribe();
        Box::pin(async move {
            // Its sender goes only with the store itself.
            let _reached = flushed.wait_for(|flushed| *flushed >= noted).await;
        })
    }

    fn status(&self) -> KeptStoreStatus {
        let queue = lock(&self.shared.queue);
        let lag = queue.writing_since.or(queue.oldest).map_or(Duration::ZERO, |oldest| clock::boot_time().since(oldest));
        let lag_milliseconds = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        KeptStoreStatus { pending: queue.writes.len() + queue.being_written, lag_milliseconds, ..queue.status.clone() }
    }
}

impl Queue {
    fn note(&mut self, key: QuestionKey, answer: Option<Arc<KeptAnswer>>) {
        self.writes.insert(key, answer);
        self.noted += 1;
        self.oldest.get_or_insert_with(clock::boot_time);
    }

    /// Notes that all that waits is being written.
    fn begin_batch(&mut self) {
        self.writing_since = self.oldest.take();
        self.being_written = self.writes.len();
        self.flush_requested = false;
    }

    /// Notes that it is no longer.
    fn end_batch(&mut self) {
        self.writing_since = None;
        self.being_written = 0;
    }

    fn is_urgent(&self) -> bool {
        self.flush_requested || self.stopping
    }
}

impl Shared {
    fn run(&self, loaded: LoadedFn) {
        let mut disk = Disk { database: self.open(loaded), is_gone: false, tried_at: clock::boot_time() };
        loop {
            let batch = self.next_batch();
            if disk.database.is_none() && clock::boot_time().since(disk.tried_at) >= REOPEN_INTERVAL {
                disk = Disk { database: self.open(Box::new(drop)), is_gone: false, tried_at: clock::boot_time() };
            }
            let is_on_disk = self.write(&mut disk, &batch);
            // Before anybody hears that it is on disk: nothing of it waits any more.
            lock(&self.queue).end_batch();
            if is_on_disk {
                self.flushed.send_replace(batch.noted);
            }
            if batch.is_last {
                return;
            }
        }
    }

    /// Opens the database and hands out what it held.
    fn open(&self, loaded: LoadedFn) -> Option<KeptDatabase> {
        match KeptDatabase::open(&self.folder, self.page_cache, self.clock_reading()) {
            Ok(opened) => {
                let disk_bytes = opened.database.size_on_disk();
                if let Some(StoreError(reason)) = opened.quarantined {
                    lock(&self.queue).status.quarantined += 1;
                    tracing::error!(reason, "the kept answers could not be read and are put aside: {reason}; keeping anew");
                }
                loaded(opened.answers);
                self.update_status(|status| {
                    status.set_open();
                    status.disk_bytes = disk_bytes;
                });
                Some(opened.database)
            }
            Err(StoreError(reason)) => {
                tracing::error!(reason, "kept answers are in memory only, and do not survive a restart: {reason}");
                self.update_status(|status| status.set_in_memory_only(&reason, clock::wall_time()));
                loaded(Vec::new());
                None
            }
        }
    }

    /// Writes a batch. Returns whether nothing is readable on disk that it removes: all of it was written, or the database was removed.
    fn write(&self, disk: &mut Disk, batch: &Batch) -> bool {
        if let Some(database) = &disk.database {
            match database.write(&batch.writes, &self.clock_reading()) {
                Ok(()) => {
                    let disk_bytes = database.size_on_disk();
                    self.update_status(|status| status.disk_bytes = disk_bytes);
                    return true;
                }
                Err(StoreError(reason)) => self.report_unwritable(&reason),
            }
        }
        disk.database = None;
        disk.is_gone = disk.is_gone || self.discard();
        disk.is_gone
    }

    fn report_unwritable(&self, reason: &str) {
        tracing::error!(reason, "the kept answers cannot be written and are removed from this disk: {reason}; make room on it");
        self.update_status(|status| {
            status.set_in_memory_only(reason, clock::wall_time());
            status.discarded += 1;
        });
    }

    fn discard(&self) -> bool {
        let removed = discard(&self.folder);
        if let Err(StoreError(reason)) = &removed {
            tracing::error!(
                reason,
                "the kept answers on disk can be neither written nor removed: {reason}; remove {} before the next start",
                self.folder.display()
            );
        }
        removed.is_ok()
    }

    /// Waits for notes, gives others a moment to come, and takes all that wait.
    fn next_batch(&self) -> Batch {
        let queue = lock(&self.queue);
        let is_idle = |queue: &mut Queue| queue.writes.is_empty() && !queue.is_urgent();
        let (queue, _) = self.wake.wait_timeout_while(queue, CLOCK_INTERVAL, is_idle).unwrap_or_else(PoisonError::into_inner);
        let may_wait = |queue: &mut Queue| !queue.is_urgent();
        let (mut queue, _) = self.wake.wait_timeout_while(queue, WRITE_DELAY, may_wait).unwrap_or_else(PoisonError::into_inner);
        queue.begin_batch();
        Batch { writes: std::mem::take(&mut queue.writes).into_iter().collect(), noted: queue.noted, is_last: queue.stopping }
    }

    fn update_status(&self, update: impl FnOnce(&mut KeptStoreStatus)) {
        update(&mut lock(&self.queue).status);
    }

    fn clock_reading(&self) -> ClockReading {
        ClockReading { boot_id: self.boot_id.clone(), boot_time: clock::boot_time(), wall_time: clock::wall_time() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, mpsc};

    use super::KeptStore;
    use crate::model::clock;
    use crate::model::digest::Digest;
    use crate::model::freshness::ProofTime;
    use crate::model::kept_answer::{AnswerOrigin, KeptAnswer, KeptAnswerStore as _, KeptKind, KeptSubject, QuestionKey};
    use crate::model::kept_body::KeptBody;
    use crate::store::kept::kept_database::LoadedAnswers;

    fn key(number: u8) -> QuestionKey {
        QuestionKey(Digest::of(&[number]))
    }

    fn answer(body: &'static str) -> Arc<KeptAnswer> {
        let subjects = [KeptSubject::Username("zoe".into())].into();
        let proven_at = ProofTime::at(clock::boot_time());
        Arc::new(KeptAnswer {
            kind: KeptKind::Discover,
            body: KeptBody::new(body.as_bytes()).unwrap(),
            proven_at,
            origin: AnswerOrigin::Primary,
            expires_at: None,
            subjects,
        })
    }

    /// Opens the store, and returns it with what was on disk.
    fn open(folder: &Path) -> (Arc<KeptStore>, LoadedAnswers) {
        let store = KeptStore::prepare(folder, 1 << 20).unwrap();
        let (sender, loaded) = mpsc::channel();
        store.start(Box::new(move |answers| drop(sender.send(answers)))).unwrap();
        let loaded = loaded.recv().unwrap();
        (store, loaded)
    }

    fn flush(store: &KeptStore) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(store.flush());
    }

    #[test]
    fn what_was_noted_last_is_there_after_a_restart_and_no_younger() {
        let folder = tempfile::tempdir().unwrap();
        let (store, loaded) = open(folder.path());
        assert_eq!(loaded, []);
        let kept = answer("new");
        for (number, answer) in [(1, answer("old")), (1, Arc::clone(&kept)), (2, answer("removed"))] {
            store.put(key(number), answer);
        }
        store.remove(&[key(2), key(3)]);
        assert!(store.has_unflushed_removals());
        flush(&store);
        assert!(!store.has_unflushed_removals());
        assert_eq!(store.status().pending, 0);
        store.put(key(4), Arc::clone(&kept));
        drop(store);
        let (_store, loaded) = open(folder.path());
        let mut found: Vec<_> = loaded.into_iter().map(|(key, answer)| (key == self::key(4), answer)).collect();
        found.sort_by_key(|(is_last, _)| *is_last);
        assert_eq!(found, [(false, KeptAnswer::clone(&kept)), (true, KeptAnswer::clone(&kept))]);
    }

    #[test]
    fn a_database_that_does_not_say_how_old_it_is_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = open(folder.path());
        store.put(key(1), answer("kept"));
        drop(store);
        let database = folder.path().join("kept/database");
        let opened = crate::store::database::Database::open(&database, 1 << 20).unwrap();
        opened.write_batch(vec![(b"c".to_vec(), None)]).unwrap();
        opened.flush().unwrap();
        drop(opened);
        let (store, loaded) = open(folder.path());
        assert_eq!((loaded.len(), store.status().quarantined), (0, 1));
        assert!(fs::exists(folder.path().join("kept/quarantine")).unwrap());
        store.put(key(2), answer("kept anew"));
        drop(store);
        assert_eq!(open(folder.path()).1.len(), 1);
    }

    #[test]
    fn two_stores_in_one_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _first = KeptStore::prepare(folder.path(), 1 << 20).unwrap();
        assert!(KeptStore::prepare(folder.path(), 1 << 20).is_err_and(|error| error.to_string().contains("uses this store")));
    }
}
