//! The primary's store: the directory with its journal, one writer; the ledger beside it.
//!
//! ```text
//! LOCK CURRENT generations/   the directory and its journal       (generations.rs, generation.rs, journal.rs)
//! ledger/                     what is never published             (ledger.rs)
//! ```
//! A commit is one batch of its records, its journal line and the cursor, then a flush, and only then published: the head
//! moves, those who watch it wake, the caller gets its answer. What is too large for that is built beside as a generation of
//! its own, whose journal begins at its head.
//!
//! The directory is not disposable here. One that does not open, or does not add up, is left as it is and the primary does
//! not start; nothing is moved to quarantine. After a failed write no further one is tried: what is on disk is known again
//! when the store is opened anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::digest::Digest;
use crate::model::entry::Entry;
use crate::store::folder::Refused;
use crate::store::founding::{begin, found, open_whole, random_epoch, seed_in};
use crate::store::generation::{Beside, Damage, Generation, Options};
use crate::store::generations::Generations;
use crate::store::journal::{self, Journal, Kept};
use crate::store::ledger::Ledger;
use crate::store::merge::changed;
use crate::store::recent::Recent;

/// Most changes of one commit.
pub const COMMIT_CHANGES: usize = 1_000;
/// Most bytes of one commit.
pub const COMMIT_BYTES: usize = 4 << 20;
/// Most commits that the journal keeps.
pub const JOURNAL_COMMITS: u64 = 100_000;
/// Most bytes that the journal keeps.
pub const JOURNAL_BYTES: u64 = 64 << 20;

/// The primary's store. Cheap to clone.
#[derive(Clone)]
pub struct PrimaryStore {
    inner: Arc<Inner>,
}

struct Inner {
    generations: Generations,
    options: Options,
    limits: Limits,
    standing: ArcSwap<Standing>,
    recent: RwLock<Recent>,
    writer: Mutex<Writer>,
    /// Whether generations wait to be removed.
    retired: AtomicBool,
    heads: watch::Sender<Head>,
    ledger: Ledger,
    seed: [u8; 32],
}

/// What is published.
struct Standing {
    generation: Generation,
    journal: Journal,
    head: Head,
}

#[derive(Default)]
struct Writer {
    failed: Option<Damage>,
    /// Replaced, and perhaps still read.
    retired: Vec<Generation>,
}

#[derive(Clone, Copy)]
struct Limits {
    changes: usize,
    bytes: usize,
    kept: Kept,
}

impl Limits {
    const DEFAULT: Self =
        Self { changes: COMMIT_CHANGES, bytes: COMMIT_BYTES, kept: Kept { commits: JOURNAL_COMMITS, bytes: JOURNAL_BYTES } };
}

/// Why a primary's store did not open.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the source says it")]
pub enum NotOpened {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// What the journal has after a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// The commits after it, at most as many as asked for; empty at the head.
    Commits(Vec<Arc<Commit>>),
    /// Older than the journal, or of another epoch.
    Gone,
    /// Beyond the head, or with another digest: somebody was restored from a backup.
    Unlike(Head),
}

impl PrimaryStore {
    /// Opens or makes the store (epoch, LFS secret and all). Reads the whole directory once. Blocks.
    pub fn open(folder: &Path, options: Options) -> Result<Self, NotOpened> {
        Self::open_within(folder, options, Limits::DEFAULT)
    }

    fn open_within(folder: &Path, options: Options, limits: Limits) -> Result<Self, NotOpened> {
        let generations = Generations::at(folder, options)?;
        let ledger = Ledger::open(&folder.join("ledger"))?;
        let seed = seed_in(&ledger)?;
        let generation = match generations.current()? {
            Some(current) => open_whole(&current, &options)?,
            None => found(&generations, &options)?,
        };
        generations.sweep()?;
        let head = generation.head().ok_or_else(|| Damage("the directory has no epoch".to_owned()))?;
        let journal = Journal::read(generation.database())?;
        let inner = Inner {
            generations,
            options,
            limits,
            standing: ArcSwap::from_pointee(Standing { generation, journal, head }),
            recent: RwLock::default(),
            writer: Mutex::default(),
            retired: AtomicBool::new(false),
            heads: watch::Sender::new(head),
            ledger,
            seed,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where it stands.
    #[must_use]
    pub fn head(&self) -> Head {
        self.inner.standing.load().head
    }

    /// Where it stands when the commit that is being made, if any, is done. Whoever has read records past the journal (a snapshot
    /// read while commits go on) ends at this head: what was read may be of a commit that [`PrimaryStore::head`] does not count yet.
    /// Blocks.
    #[must_use]
    pub fn settled_head(&self) -> Head {
        let _no_commit = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.head()
    }

    /// The records as they are now. Hold it no longer than one request: a large apply replaces it. For the moment of a flush
    /// it may show a commit that is not answered yet.
    #[must_use]
    pub fn directory(&self) -> Generation {
        self.inner.standing.load().generation.clone()
    }

    /// One writer: decides on the directory as it stands and commits what it decides, in one or (above the bounds of a commit) by a
    /// generation built beside with a new journal. On disk when it returns. No changes, or none that makes a difference: nothing is
    /// committed. Deletes are made before puts, whatever their order. Blocks.
    pub fn commit<T, E: From<Damage>>(&self, decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), E>) -> Result<(Head, T), E> {
        let mut writer = self.writer()?;
        let standing = self.inner.standing.load_full();
        let (mut changes, outcome) = decide(&standing.generation)?;
        changes.sort_by_key(|change| matches!(change, Change::Put(_)));
        let limits = &self.inner.limits;
        let small = changes.len() <= limits.changes && journal::weight(&changes) <= limits.bytes;
        let head = if changes.is_empty() {
            standing.head
        } else if small {
            writer.keep(self.append(&standing, changes))?
        } else {
            let built = self.build(&standing, changed(&standing.generation, &changes)?)?;
            writer.keep(self.take_over(&standing, built))?
        };
        self.retire(&mut writer, standing);
        Ok((head, outcome))
    }

    /// A whole new directory at once: a generation built beside, visible at once, with a new journal. What is equal to what is there
    /// already is not committed. Blocks.
    pub fn replace<E: From<Damage>>(&self, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        let mut writer = self.writer()?;
        let standing = self.inner.standing.load_full();
        let built = self.build(&standing, entries)?;
        let head = writer.keep(self.take_over(&standing, built))?;
        self.retire(&mut writer, standing);
        Ok(head)
    }

    /// The journal after (`epoch`, `seq`, `digest`), at most `limit` commits.
    pub fn after(&self, epoch: Epoch, seq: u64, digest: Digest, limit: usize) -> Result<After, Damage> {
        self.tidy();
        let standing = self.inner.standing.load_full();
        let (base, head) = (standing.journal.base, standing.head);
        if epoch != head.epoch {
            return Ok(After::Gone);
        }
        if seq > head.seq {
            return Ok(After::Unlike(head));
        }
        if seq < base.seq {
            return Ok(After::Gone);
        }
        let then = match seq {
            seq if seq == head.seq => head.state,
            seq if seq == base.seq => base.state,
            seq => match self.journalled(&standing, seq)? {
                Some(commit) => commit.state,
                None => return Ok(After::Gone),
            },
        };
        if then.digest != digest {
            return Ok(After::Unlike(head));
        }
        let mut commits = Vec::new();
        for seq in (seq + 1..=head.seq).take(limit) {
            match self.journalled(&standing, seq)? {
                Some(commit) => commits.push(commit),
                None => return Ok(After::Gone),
            }
        }
        Ok(After::Commits(commits))
    }

    /// Waits for the head to be another than `seen`: a watch of the head.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Head> {
        self.inner.heads.subscribe()
    }

    /// A new epoch, the journal begun anew at the same `seq`. Blocks.
    pub fn new_epoch(&self) -> Result<Head, Damage> {
        let mut writer = self.writer()?;
        let standing = self.inner.standing.load_full();
        writer.keep(self.begin_epoch(&standing))
    }

    /// What is never published.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The 32 random bytes made with the store: LFS tokens are keyed with them.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.inner.seed
    }

    fn writer(&self) -> Result<std::sync::MutexGuard<'_, Writer>, Damage> {
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        match &writer.failed {
            Some(Damage(reason)) => Err(Damage(format!("an earlier write failed, restart the primary: {reason}"))),
            None => Ok(writer),
        }
    }

    /// One commit in the journal.
    fn append(&self, standing: &Standing, changes: Vec<Change>) -> Result<Head, Damage> {
        let (before, generation) = (standing.head, &standing.generation);
        let mut commit = Commit { seq: before.seq + 1, state: before.state, changes: Vec::new() };
        let mut journal = standing.journal;
        let state = generation.apply_with(&changes, |state| {
            if state == before.state {
                return Ok(None);
            }
            commit.state = state;
            commit.changes.clone_from(&changes);
            let (next, writes) = journal.with(generation.database(), &commit, self.inner.limits.kept)?;
            journal = next;
            Ok(Some(Beside { cursor: Some((before.epoch, commit.seq)), writes }))
        })?;
        if state == before.state {
            return Ok(before);
        }
        generation.flush()?;
        let head = Head { epoch: before.epoch, seq: commit.seq, state };
        self.inner.recent.write().unwrap_or_else(PoisonError::into_inner).push(commit);
        self.publish(Standing { generation: generation.clone(), journal, head });
        Ok(head)
    }

    /// A generation beside, closed, with its cursor one further and its journal begun there; `None` if it holds the same.
    fn build<E: From<Damage>>(&self, standing: &Standing, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Option<PathBuf>, E> {
        let folder = self.inner.generations.next().map_err(|refused| Damage(refused.to_string()))?;
        let generation = Generation::load(&folder, &self.inner.options, entries)?;
        if generation.state() == standing.head.state {
            return Ok(None);
        }
        begin(&generation, standing.head.epoch, standing.head.seq + 1)?;
        Ok(Some(folder))
    }

    /// Opens what was built, makes it the current one and publishes it.
    fn take_over(&self, standing: &Standing, built: Option<PathBuf>) -> Result<Head, Damage> {
        let Some(folder) = built else { return Ok(standing.head) };
        let generation = Generation::open(&folder, &self.inner.options)?;
        let head = generation.head().ok_or_else(|| Damage("the directory has no epoch".to_owned()))?;
        let journal = Journal::read(generation.database())?;
        self.inner.generations.install(&folder).map_err(|refused| Damage(refused.to_string()))?;
        self.publish(Standing { generation, journal, head });
        Ok(head)
    }

    fn begin_epoch(&self, standing: &Standing) -> Result<Head, Damage> {
        begin(&standing.generation, random_epoch()?, standing.head.seq)?;
        let head = standing.generation.head().ok_or_else(|| Damage("the directory has no epoch".to_owned()))?;
        self.publish(Standing { generation: standing.generation.clone(), journal: Journal::beginning(head), head });
        Ok(head)
    }

    fn publish(&self, standing: Standing) {
        let head = standing.head;
        self.inner.standing.store(Arc::new(standing));
        self.inner.heads.send_replace(head);
    }

    /// A commit that was published. `None`: the journal has been trimmed meanwhile.
    fn journalled(&self, standing: &Standing, seq: u64) -> Result<Option<Arc<Commit>>, Damage> {
        if let Some(commit) = self.inner.recent.read().unwrap_or_else(PoisonError::into_inner).find(seq) {
            return Ok(Some(commit));
        }
        if let Some(commit) = journal::read(standing.generation.database(), seq)? {
            return Ok(Some(Arc::new(commit)));
        }
        let now = self.inner.standing.load();
        if now.journal.base.seq >= seq || now.head.epoch != standing.head.epoch {
            return Ok(None);
        }
        Err(Damage(format!("commit {seq} of the journal is lost")))
    }

    /// Removes generations that were replaced, once nobody reads them.
    fn retire(&self, writer: &mut Writer, before: Arc<Standing>) {
        if before.generation.database().folder() != self.inner.standing.load().generation.database().folder() {
            writer.retired.push(before.generation.clone());
            self.inner.retired.store(true, Ordering::Relaxed);
        }
        drop(before);
        self.sweep(writer);
    }

    fn tidy(&self) {
        if self.inner.retired.load(Ordering::Relaxed)
            && let Ok(mut writer) = self.inner.writer.try_lock()
        {
            self.sweep(&mut writer);
        }
    }

    fn sweep(&self, writer: &mut Writer) {
        if writer.retired.is_empty() || !writer.retired.iter().all(Generation::held_once) {
            return;
        }
        writer.retired.clear();
        self.inner.retired.store(false, Ordering::Relaxed);
        // What cannot be removed now is removed at the next start.
        let _ = self.inner.generations.sweep();
    }
}

impl Writer {
    /// Remembers a failure: after it, what is on disk is not known.
    fn keep(&mut self, outcome: Result<Head, Damage>) -> Result<Head, Damage> {
        if let Err(damage) = &outcome {
            self.failed = Some(damage.clone());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{After, Kept, Limits, PrimaryStore};
    use crate::model::change::{Change, Head, Identity};
    use crate::model::directory::Directory as _;
    use crate::store::database::Database;
    use crate::store::generation::{Damage, Options};
    use crate::store::pages::Map;
    use crate::store::proof::{entry, key_line};

    const OPTIONS: Options = Options { page_cache: 1 << 20, record_cache: 64 };
    const SMALL: Limits = Limits { changes: 10, bytes: 100_000, kept: Kept { commits: 5, bytes: 1 << 20 } };

    fn open(folder: &Path) -> PrimaryStore {
        PrimaryStore::open_within(folder, OPTIONS, SMALL).unwrap()
    }

    fn put(number: u64) -> Change {
        Change::Put(entry(&key_line(number, number, "t")))
    }

    fn delete(number: u64) -> Change {
        Change::Delete(Identity::Key(number.try_into().unwrap()))
    }

    fn commit(store: &PrimaryStore, changes: Vec<Change>) -> Head {
        store.commit(|_| Ok::<_, Damage>((changes, ()))).unwrap().0
    }

    fn after(store: &PrimaryStore, head: Head, limit: usize) -> After {
        store.after(head.epoch, head.seq, head.state.digest, limit).unwrap()
    }

    fn numbers(after: After) -> Vec<u64> {
        match after {
            After::Commits(commits) => commits.iter().map(|commit| commit.seq).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn epoch_and_seed_are_made_with_the_store_and_stay() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, another) = (open(folder.path()), open(other.path()));
        let (head, seed) = (store.head(), store.seed());
        assert_eq!((head.seq, head.state.count), (0, 0));
        assert_ne!(head.epoch, another.head().epoch);
        assert_ne!(seed, another.seed());
        drop(store);
        let store = open(folder.path());
        assert_eq!((store.head(), store.seed()), (head, seed));
    }

    #[test]
    fn commits_are_in_the_journal_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let begun = store.head();
        let first = commit(&store, vec![put(1), delete(7), put(2)]);
        let second = commit(&store, vec![delete(1)]);
        let After::Commits(told) = after(&store, begun, 10) else { panic!() };
        assert_eq!(told[0].changes, [delete(7), put(1), put(2)], "deletes come first");
        assert_eq!((told[1].seq, told[1].state), (second.seq, second.state));
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.head(), second);
        assert_eq!(after(&store, begun, 10), After::Commits(told));
        assert_eq!(numbers(after(&store, begun, 1)), [1]);
        assert_eq!(numbers(after(&store, first, 10)), [2]);
        assert_eq!(after(&store, second, 10), After::Commits(Vec::new()));
    }

    #[test]
    fn what_makes_no_difference_is_not_committed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let head = commit(&store, vec![put(1)]);
        assert_eq!(commit(&store, vec![]), head);
        assert_eq!(commit(&store, vec![put(1), delete(5)]), head);
        assert_eq!(store.replace([Ok::<_, Damage>(entry(&key_line(1, 1, "t")))].into_iter()), Ok(head));
        let refused = store.commit(|_| Err::<(Vec<Change>, ()), _>(Damage("no".to_owned())));
        assert_eq!(refused, Err(Damage("no".to_owned())));
        assert_eq!(store.head(), head);
    }

    #[test]
    fn who_is_behind_the_journal_or_of_another_epoch_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let begun = store.head();
        let heads: Vec<_> = (1..=8).map(|number| commit(&store, vec![put(number)])).collect();
        assert_eq!(after(&store, begun, 10), After::Gone);
        assert_eq!(after(&store, heads[1], 10), After::Gone);
        assert_eq!(numbers(after(&store, heads[2], 10)), [4, 5, 6, 7, 8]);
        let renewed = store.new_epoch().unwrap();
        assert_eq!((renewed.seq, renewed.state), (heads[7].seq, heads[7].state));
        assert_eq!(after(&store, heads[7], 10), After::Gone);
        assert_eq!(after(&store, renewed, 10), After::Commits(Vec::new()));
        commit(&store, vec![put(9)]);
        assert_eq!(numbers(after(&store, renewed, 10)), [9]);
        drop(store);
        assert_eq!(numbers(after(&open(folder.path()), renewed, 10)), [9]);
    }

    #[test]
    fn who_is_ahead_or_has_another_digest_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let begun = store.head();
        let first = commit(&store, vec![put(1)]);
        let head = commit(&store, vec![put(2)]);
        assert_eq!(after(&store, Head { seq: 9, ..head }, 10), After::Unlike(head));
        assert_eq!(after(&store, Head { seq: 0, ..head }, 10), After::Unlike(head));
        assert_eq!(after(&store, Head { state: head.state, ..first }, 10), After::Unlike(head));
        assert_eq!(after(&store, Head { state: begun.state, ..head }, 10), After::Unlike(head));
    }

    #[test]
    fn what_is_too_large_for_a_commit_is_built_beside_and_begins_a_new_journal() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let first = commit(&store, vec![put(1), put(2)]);
        let before = store.directory();
        let mut changes: Vec<_> = (3..40).map(put).collect();
        changes.extend([delete(1), Change::Put(entry(&key_line(2, 99, "moved")))]);
        let head = commit(&store, changes);
        assert_eq!((head.seq, head.state.count), (first.seq + 1, 38));
        assert_eq!(store.directory().state(), head.state);
        assert!(store.directory().whole().unwrap());
        assert_eq!(store.directory().key(2.try_into().unwrap()).unwrap().unwrap().title.as_str(), "moved");
        assert_eq!(after(&store, first, 10), After::Gone);
        assert_eq!(after(&store, head, 10), After::Commits(Vec::new()));
        // Who still reads the one before reads on; then it is removed.
        assert_eq!(before.state(), first.state);
        assert_eq!(before.entries().count(), 2);
        let generations = || fs::read_dir(folder.path().join("generations")).unwrap().count();
        assert_eq!(generations(), 2);
        drop(before);
        after(&store, head, 10);
        assert_eq!(generations(), 1);
        let next = commit(&store, vec![put(50)]);
        assert_eq!(numbers(after(&store, head, 10)), [next.seq]);
        drop(store);
        assert_eq!(open(folder.path()).head(), next);
    }

    #[test]
    fn a_whole_new_directory_takes_the_place_of_the_old_or_leaves_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let first = commit(&store, vec![put(1)]);
        let broken = [Ok(entry(&key_line(5, 5, "t"))), Err(Damage("the file ends here".to_owned()))];
        assert!(store.replace(broken.into_iter()).is_err());
        assert_eq!((store.head(), store.directory().state()), (first, first.state));
        let head = store.replace([Ok::<_, Damage>(entry(&key_line(5, 5, "t")))].into_iter()).unwrap();
        assert_eq!((head.epoch, head.seq), (first.epoch, first.seq + 1));
        assert!(store.directory().key(1.try_into().unwrap()).unwrap().is_none());
        assert_eq!(after(&store, first, 10), After::Gone);
    }

    #[test]
    fn the_head_that_is_watched_moves_when_the_commit_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let watch = store.watch();
        assert!(!watch.has_changed().unwrap());
        let head = commit(&store, vec![put(1)]);
        assert!(watch.has_changed().unwrap());
        assert_eq!(*watch.borrow(), head);
    }

    #[test]
    fn a_damaged_directory_is_refused_with_a_remedy_and_left_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        commit(&store, vec![put(1)]);
        drop(store);
        let current = folder.path().join("generations/1");
        let database = Database::open(&current, 1 << 20).unwrap();
        database.write(vec![(Map::Records.page_key(&[]), None)]).unwrap();
        database.flush().unwrap();
        drop(database);
        for _ in 0..2 {
            let refused = PrimaryStore::open(folder.path(), OPTIONS).err().unwrap().to_string();
            assert!(refused.contains("restore the store's folder from a backup"), "{refused}");
        }
        assert!(current.exists() && folder.path().join("CURRENT").exists());
    }
}
