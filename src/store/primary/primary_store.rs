//! The primary's store: the directory with its journal, and the private store.
//!
//! ```text
//! LOCK CURRENT generations/   the directory and its journal       (generations/generations_folder.rs, journal.rs)
//! ledger/                     what is never published             (private_store.rs)
//! restoring/ REPLACING        another store that takes its place  (replacement.rs)
//! ```
//! A commit is one batch of its records, its journal entry and the cursor, then a flush, and only then it is published: the
//! head moves, its watchers wake, the call returns. Changes that are too many for that are written as a new generation, whose
//! journal begins at its head.
//!
//! The directory cannot be built anew here. If it does not open, or is damaged, it is left as it is and the primary does not
//! start; nothing is moved to quarantine. A write for which the disk has no room is refused before it begins, and may be tried again.
//! After one that fails all the same no further one is tried, and nothing more may be answered, because memory and disk may differ until
//! the store is opened again: [`PrimaryStore::failure`] says so.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::files::reserved_space;
use crate::store::generations::generation::{ExtraWrites, Generation, RoomCheck, StoreOptions};
use crate::store::generations::generations_folder::GenerationsFolder;
use crate::store::generations::invalid_records::InvalidRecords;
use crate::store::generations::merge::merge_changes;
use crate::store::primary::build_room::BuildRoom;
use crate::store::primary::init::{PrimaryOpenError, create_empty, load_or_create_seed, open_verified, random_epoch, start_journal};
use crate::store::primary::journal::{self, Journal, JournalLimits};
use crate::store::primary::private_store::PrivateStore;
use crate::store::primary::replacement;
use crate::store::primary::unflushed::UnflushedCommits;
use crate::store::write_progress::WriteProgress;

/// Most changes of one commit.
pub const MAX_COMMIT_CHANGES: usize = 1_000;
/// Most bytes of one commit.
pub const MAX_COMMIT_BYTES: usize = 4 << 20;
/// Most commits that the journal keeps.
pub const MAX_JOURNAL_COMMITS: u64 = 100_000;
/// Most bytes that the journal keeps.
pub const MAX_JOURNAL_BYTES: u64 = 64 << 20;

/// An open primary's store. Cheap to clone.
#[derive(Clone)]
pub struct PrimaryStore {
    inner: Arc<PrimaryStoreInner>,
}

struct PrimaryStoreInner {
    generations: GenerationsFolder,
    options: StoreOptions,
    limits: StoreLimits,
    published: ArcSwap<PublishedState>,
    writer: Mutex<WriterState>,
    /// Whether replaced generations wait to be removed.
    has_retired: AtomicBool,
    head_sender: watch::Sender<Head>,
    unflushed: UnflushedCommits,
    /// Why it is not known which generation the next start opens.
    failed_install: OnceLock<StoreError>,
    private_store: PrivateStore,
    token_seed: [u8; 32],
}

/// What readers see.
struct PublishedState {
    generation: Generation,
    journal: Journal,
    head: Head,
}

/// A generation that was built and closed.
struct BuiltGeneration {
    folder: PathBuf,
    invalid_records: Option<Arc<InvalidRecords>>,
}

#[derive(Default)]
struct WriterState {
    /// Generations that were replaced, and perhaps are still read.
    retired: Vec<Generation>,
}

/// The bounds of a commit and of the journal.
#[derive(Clone, Copy)]
pub struct StoreLimits {
    /// The most changes of a commit.
    pub changes: usize,
    /// The most bytes of a commit.
    pub bytes: usize,
    /// The bounds of the journal.
    pub journal: JournalLimits,
}

impl StoreLimits {
    const DEFAULT: Self = Self {
        changes: MAX_COMMIT_CHANGES,
        bytes: MAX_COMMIT_BYTES,
        journal: JournalLimits { max_commits: MAX_JOURNAL_COMMITS, max_bytes: MAX_JOURNAL_BYTES },
    };
}

/// What the journal contains after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitsAfter {
    /// The commits after it, oldest first, up to the limit; empty at the head.
    Commits(Vec<Commit>),
    /// The cursor is older than the journal, or of another epoch.
    Gone,
    /// The cursor is beyond the head, or has another digest: primary or follower was restored from a backup.
    Diverged(Head),
}

impl PrimaryStore {
    /// Opens the store, or creates it with a new epoch and seed. Reads the whole directory once. Blocks.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, PrimaryOpenError> {
        Self::open_with_limits(folder, options, StoreLimits::DEFAULT)
    }

    /// As [`PrimaryStore::open`], with other bounds.
    pub fn open_with_limits(folder: &Path, options: StoreOptions, limits: StoreLimits) -> Result<Self, PrimaryOpenError> {
        replacement::finish(folder)?;
        let generations = GenerationsFolder::open(folder, options)?;
        let private_store = PrivateStore::open(&folder.join("ledger"))?;
        let seed = load_or_create_seed(&private_store)?;
        let generation = match generations.current_path()? {
            Some(current) => open_verified(&current, &options)?,
            None => create_empty(&generations, &options)?,
        };
        generations.remove_unused()?;
        let head = generation.head().ok_or_else(|| StoreError("the directory has no epoch".to_owned()))?;
        let journal = Journal::load(generation.database())?;
        let inner = PrimaryStoreInner {
            generations,
            options,
            limits,
            published: ArcSwap::from_pointee(PublishedState { generation, journal, head }),
            writer: Mutex::default(),
            has_retired: AtomicBool::new(false),
            head_sender: watch::Sender::new(head),
            unflushed: UnflushedCommits::default(),
            failed_install: OnceLock::new(),
            private_store,
            token_seed: seed,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns the published head.
    #[must_use]
    pub fn head(&self) -> Head {
        self.inner.published.load().head
    }

    /// Waits for the commit that is being made, if any, and returns the head. A snapshot that was read while commits are made ends at
    /// this head, because it may contain records of a commit that [`PrimaryStore::head`] does not count yet. Fails if that commit failed.
    /// Blocks.
    pub fn head_after_pending_commit(&self) -> Result<Head, StoreError> {
        let _no_commit = self.lock_writer()?;
        Ok(self.head())
    }

    /// Returns the head, if it is sure to be the last commit on disk.
    pub fn durable_head(&self) -> Result<Head, StoreError> {
        self.failure().map_or_else(|| Ok(self.head()), Err)
    }

    /// Waits for the commit that is being made, if any. Fails if one has failed: then what was read before may be in no store.
    pub async fn settled(&self) -> Result<(), StoreError> {
        self.inner.unflushed.ended().await;
        self.failure().map_or(Ok(()), Err)
    }

    /// Returns why a write failed, if one did. Then what is read may not be what is on disk, and only opening the store again helps.
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        let directory = self.inner.published.load().generation.database().failure();
        directory.or_else(|| self.inner.private_store.write_failure()).or_else(|| self.inner.failed_install.get().cloned())
    }

    /// Refuses if the disk has no room for any write, or takes none. With `probe` a little is allocated, which finds a quota too. Waits for a
    /// disk that hangs. Blocks.
    pub fn look_for_room(&self, probe: bool) -> Result<(), StoreError> {
        self.inner.private_store.look_for_room(probe)?;
        self.directory().database().look_for_room(probe)
    }

    /// Returns how many bytes directory and private store take on disk.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.directory().size_on_disk().saturating_add(self.inner.private_store.size_on_disk())
    }

    /// Returns how many bytes the disk of the directory has free; `None` if it does not say. Blocks.
    #[must_use]
    pub fn free_bytes(&self) -> Option<u64> {
        self.inner.generations.current_path().ok().flatten().and_then(|folder| reserved_space::free_bytes(&folder))
    }

    /// Returns how far the writes of the directory and of the private store are.
    #[must_use]
    pub fn write_progress(&self) -> [WriteProgress; 2] {
        [self.inner.published.load().generation.database().write_progress(), self.inner.private_store.write_progress()]
    }

    /// Wakes writes that sled lets wait for ever after a failure, which [`PrimaryStore::failure`] then knows of. Waits with them for a disk
    /// that hangs. Blocks.
    pub fn wake_hanging_writes(&self) {
        self.directory().database().wake_hanging_write();
        self.inner.private_store.wake_hanging_write();
    }

    /// Returns the present records. Do not keep the handle longer than one request: a large apply replaces the generation. During a
    /// flush it may show a commit that is not published yet.
    #[must_use]
    pub fn directory(&self) -> Generation {
        self.inner.published.load().generation.clone()
    }

    /// Calls `decide` with the present directory and commits the changes that it returns, with no other writer in between: as one
    /// commit or, above the limits of a commit, as a new generation with a new journal. On disk when it returns. Without changes, or
    /// if they make no difference, nothing is committed. Deletes are made before puts, whatever their order. Blocks.
    pub fn commit<T, E: From<StoreError>>(&self, decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), E>) -> Result<(Head, T), E> {
        let mut writer = self.lock_writer()?;
        let published = self.inner.published.load_full();
        let (mut changes, outcome) = decide(&published.generation)?;
        changes.sort_by_key(|change| matches!(change, Change::Put(_)));
        let limits = &self.inner.limits;
        let small = changes.len() <= limits.changes && journal::encoded_size(&changes) <= limits.bytes;
        let head = if changes.is_empty() {
            published.head
        } else if small {
            self.append_commit(&published, changes)?
        } else {
            let built = self.build_generation(&published, merge_changes(&published.generation, &changes)?)?;
            self.install_generation(&published, built)?
        };
        self.retire_replaced(&mut writer, published);
        Ok((head, outcome))
    }

    /// Replaces the whole directory by a new generation with a new journal. If the records are the same, nothing is committed. Blocks.
    pub fn replace_directory<E: From<StoreError>>(&self, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        let mut writer = self.lock_writer()?;
        let published = self.inner.published.load_full();
        let built = self.build_generation(&published, entries)?;
        let head = self.install_generation(&published, built)?;
        self.retire_replaced(&mut writer, published);
        Ok(head)
    }

    /// Reads the commits after the cursor (`epoch`, `seq`, `digest`), at most `limit` of them. Blocks.
    pub fn commits_after(&self, epoch: Epoch, seq: u64, digest: Digest, limit: usize) -> Result<CommitsAfter, StoreError> {
        self.try_remove_retired();
        let published = self.inner.published.load_full();
        let (base, head) = (published.journal.base, published.head);
        if epoch != head.epoch {
            return Ok(CommitsAfter::Gone);
        }
        if seq > head.seq {
            return Ok(CommitsAfter::Diverged(head));
        }
        if seq < base.seq {
            return Ok(CommitsAfter::Gone);
        }
        let state = match seq {
            seq if seq == head.seq => head.state,
            seq if seq == base.seq => base.state,
            seq => match self.read_published(&published, seq, journal::read_commit_state)? {
                Some(state) => state,
                None => return Ok(CommitsAfter::Gone),
            },
        };
        if state.digest != digest {
            return Ok(CommitsAfter::Diverged(head));
        }
        let mut commits = Vec::new();
        for seq in (seq + 1..=head.seq).take(limit) {
            match self.read_published(&published, seq, journal::read_commit)? {
                Some(commit) => commits.push(commit),
                None => return Ok(CommitsAfter::Gone),
            }
        }
        Ok(CommitsAfter::Commits(commits))
    }

    /// Returns a receiver that is notified when the head changes.
    #[must_use]
    pub fn watch_head(&self) -> watch::Receiver<Head> {
        self.inner.head_sender.subscribe()
    }

    /// Starts a new epoch: the journal begins anew at the same `seq`. Blocks.
    pub fn start_new_epoch(&self) -> Result<Head, StoreError> {
        let _writer = self.lock_writer()?;
        let published = self.inner.published.load_full();
        self.publish_new_epoch(&published)
    }

    /// Returns the store of what is never published.
    #[must_use]
    pub fn private_store(&self) -> &PrivateStore {
        &self.inner.private_store
    }

    /// Returns the 32 random bytes made with the store, which LFS tokens are signed with.
    #[must_use]
    pub fn token_seed(&self) -> [u8; 32] {
        self.inner.token_seed
    }

    fn lock_writer(&self) -> Result<std::sync::MutexGuard<'_, WriterState>, StoreError> {
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match self.failure() {
            Some(StoreError(reason)) => Err(StoreError(format!("an earlier write failed, and the primary starts again: {reason}"))),
            None => Ok(writer),
        }
    }

    /// Commits the changes in one batch with the journal.
    fn append_commit(&self, published: &PublishedState, changes: Vec<Change>) -> Result<Head, StoreError> {
        let (before, generation) = (published.head, &published.generation);
        let mut commit = Commit { seq: before.seq + 1, state: before.state, changes: Vec::new() };
        let mut journal = published.journal;
        let _unflushed = self.inner.unflushed.begin();
        let state = generation.apply_with_extra(&changes, |state| {
            if state == before.state {
                return Ok(None);
            }
            commit.state = state;
            commit.changes.clone_from(&changes);
            let (next, writes) = journal.append(generation.database(), &commit, self.inner.limits.journal)?;
            journal = next;
            Ok(Some(ExtraWrites { cursor: Some((before.epoch, commit.seq)), writes, room: RoomCheck::Required }))
        })?;
        if state == before.state {
            return Ok(before);
        }
        generation.flush()?;
        let head = Head { epoch: before.epoch, seq: commit.seq, state };
        self.publish(PublishedState { generation: generation.clone(), journal, head });
        Ok(head)
    }

    /// Builds and closes a new generation with the next `seq` and an empty journal; `None` if the records are the same. Nothing is left of
    /// one that could not be built.
    fn build_generation<E: From<StoreError>>(
        &self,
        published: &PublishedState,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Option<BuiltGeneration>, E> {
        let folder = self.inner.generations.create_next().map_err(StoreError::from)?;
        self.fill_generation(published, folder.clone(), entries).inspect_err(|_| {
            // What cannot be removed now is removed at the next start.
            let _ = self.inner.generations.abandon(&folder);
        })
    }

    fn fill_generation<E: From<StoreError>>(
        &self,
        published: &PublishedState,
        folder: PathBuf,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Option<BuiltGeneration>, E> {
        let mut room = BuildRoom::begin(&folder)?;
        let entries = entries.map(|entry| entry.and_then(|entry| Ok(room.add(entry.text().len()).map(|()| entry)?)));
        let generation = Generation::create(&folder, &self.inner.options, entries)?;
        if generation.state() == published.head.state {
            return Ok(None);
        }
        start_journal(&generation, published.head.epoch, published.head.seq + 1)?;
        Ok(Some(BuiltGeneration { folder, invalid_records: generation.invalid_records() }))
    }

    /// Opens a new generation, makes it the current one and publishes it.
    fn install_generation(&self, published: &PublishedState, built: Option<BuiltGeneration>) -> Result<Head, StoreError> {
        let Some(BuiltGeneration { folder, invalid_records }) = built else { return Ok(published.head) };
        let generation = Generation::open(&folder, &self.inner.options)?;
        invalid_records.into_iter().for_each(|invalid| generation.set_invalid_records(invalid));
        let head = generation.head().ok_or_else(|| StoreError("the directory has no epoch".to_owned()))?;
        let journal = Journal::load(generation.database())?;
        self.install_folder(published, &folder)?;
        self.publish(PublishedState { generation, journal, head });
        Ok(head)
    }

    /// Makes a generation the current one. After an error the one before still is, or the store has failed.
    fn install_folder(&self, published: &PublishedState, folder: &Path) -> Result<(), StoreError> {
        let Err(error) = self.inner.generations.install(folder) else { return Ok(()) };
        let error = StoreError::from(error);
        let current = self.inner.generations.current_path().ok().flatten();
        if current.as_deref() != Some(published.generation.database().folder()) {
            self.inner.failed_install.get_or_init(|| error.clone());
        }
        Err(error)
    }

    fn publish_new_epoch(&self, published: &PublishedState) -> Result<Head, StoreError> {
        start_journal(&published.generation, random_epoch()?, published.head.seq)?;
        let head = published.generation.head().ok_or_else(|| StoreError("the directory has no epoch".to_owned()))?;
        self.publish(PublishedState { generation: published.generation.clone(), journal: Journal::starting_at(head), head });
        Ok(head)
    }

    fn publish(&self, published: PublishedState) {
        let head = published.head;
        self.inner.published.store(Arc::new(published));
        self.inner.head_sender.send_replace(head);
    }

    /// Reads a commit, or a part of it, that was published. `None`: the journal has been trimmed meanwhile.
    fn read_published<T>(
        &self,
        published: &PublishedState,
        seq: u64,
        read: impl FnOnce(&Database, u64) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if let Some(found) = read(published.generation.database(), seq)? {
            return Ok(Some(found));
        }
        let now = self.inner.published.load();
        if now.journal.base.seq >= seq || now.head.epoch != published.head.epoch {
            return Ok(None);
        }
        Err(StoreError(format!("commit {seq} of the journal is lost")))
    }

    /// Remembers a replaced generation, and removes those that nobody reads any more.
    fn retire_replaced(&self, writer: &mut WriterState, before: Arc<PublishedState>) {
        if before.generation.database().folder() != self.inner.published.load().generation.database().folder() {
            writer.retired.push(before.generation.clone());
            self.inner.has_retired.store(true, Ordering::Relaxed);
        }
        drop(before);
        self.remove_retired(writer);
    }

    fn try_remove_retired(&self) {
        if self.inner.has_retired.load(Ordering::Relaxed)
            && let Ok(mut writer) = self.inner.writer.try_lock()
        {
            self.remove_retired(&mut writer);
        }
    }

    fn remove_retired(&self, writer: &mut WriterState) {
        if writer.retired.is_empty() || !writer.retired.iter().all(Generation::is_last_handle) {
            return;
        }
        writer.retired.clear();
        self.inner.has_retired.store(false, Ordering::Relaxed);
        // A folder that cannot be removed now is removed at the next start.
        let _ = self.inner.generations.remove_unused();
    }
}
