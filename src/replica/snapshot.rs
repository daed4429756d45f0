//! Makes a generation out of a snapshot, or nothing: it must begin and end as it should, follow its own numbers, and add up.

use std::path::Path;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::key::Fingerprint;
use crate::model::loss_guard::Loss;
use crate::model::record::Record;
use crate::replica::feed::{FeedError, SnapshotLines};
use crate::replica::tracked_generation::apply_changes;
use crate::store::error::StoreError;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::wire::directory::feed_lines::{SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader, SnapshotLine};

/// How the line of a key begins: other lines need not be read to count keys.
const KEY_LINE_PREFIX: &str = r#"{"kind":"key","#;

/// A generation that was loaded, closed, opened again and read through.
pub struct LoadedSnapshot {
    /// It.
    pub generation: Generation,
    /// Where it stands.
    pub head: Head,
    /// Whether the primary says that a loss is meant.
    pub accept_loss: bool,
    /// The keys that the snapshot carries.
    pub keys: KeySet,
}

/// Why a snapshot is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It was cut, or is garbled.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not a snapshot as it should be.
    #[error("the snapshot is not usable: {0}")]
    Malformed(String),
    /// It does not add up.
    #[error("the snapshot does not add up to what its end says")]
    DigestMismatch,
}

/// Loads a snapshot into `folder`. Blocks until it has been opened again and read through.
pub fn load_snapshot(folder: &Path, options: &StoreOptions, lines: SnapshotLines) -> Result<LoadedSnapshot, LoadError> {
    let mut lines = SnapshotReader { lines, after_records: None, keys: KeySet::default() };
    let SnapshotHeader { epoch, from_seq, .. } = lines.read_head()?;
    let generation = Generation::create(folder, options, &mut lines)?;
    let end = lines.replay_commits(&generation, from_seq)?;
    lines.expect_end()?;
    commit_cursor(&generation, epoch, &end)?;
    drop(generation);
    let generation = Generation::open(folder, options)?;
    if generation.state() != end.state || !generation.is_intact()? {
        return Err(LoadError::DigestMismatch);
    }
    let head = Head { epoch, seq: end.seq, state: end.state };
    Ok(LoadedSnapshot { generation, head, accept_loss: end.accept_loss, keys: lines.keys.sorted() })
}

/// Gives the generation its cursor, if it adds up.
fn commit_cursor(generation: &Generation, epoch: Epoch, end: &SnapshotEnd) -> Result<(), LoadError> {
    if generation.state() != end.state {
        return Err(LoadError::DigestMismatch);
    }
    generation.apply(&[], Some((epoch, end.seq)))?;
    Ok(generation.flush()?)
}

/// The lines of a snapshot; as an iterator, its records only.
struct SnapshotReader {
    lines: SnapshotLines,
    after_records: Option<SnapshotLine>,
    keys: KeySet,
}

impl SnapshotReader {
    fn read_head(&mut self) -> Result<SnapshotHeader, LoadError> {
        match self.lines.next().transpose()? {
            Some(SnapshotLine::Header(head)) if head.format == SNAPSHOT_FORMAT => Ok(head),
            Some(SnapshotLine::Header(head)) => {
                Err(malformed(&format!("its format is {}, this program reads {SNAPSHOT_FORMAT}", head.format)))
            }
            _ => Err(malformed("it does not begin with its head")),
        }
    }

    fn replay_commits(&mut self, generation: &Generation, from_seq: u64) -> Result<SnapshotEnd, LoadError> {
        let mut seq = from_seq;
        loop {
            let line = match self.after_records.take() {
                Some(line) => Some(line),
                None => self.lines.next().transpose()?,
            };
            match line {
                Some(SnapshotLine::Commit(commit)) if commit.seq == seq + 1 => {
                    seq = commit.seq;
                    self.record_keys(&commit);
                    apply_changes(generation, commit.changes, None)?;
                }
                Some(SnapshotLine::End(end)) if end.seq == seq => return Ok(end),
                Some(SnapshotLine::Commit(_) | SnapshotLine::End(_)) => return Err(malformed("its commits do not follow one another")),
                Some(SnapshotLine::Header(_) | SnapshotLine::Record(_)) => return Err(malformed("its lines are out of order")),
                None => return Err(malformed("it was cut off")),
            }
        }
    }

    fn expect_end(&mut self) -> Result<(), LoadError> {
        match self.lines.next().transpose()? {
            None => Ok(()),
            Some(_) => Err(malformed("it goes on after its end")),
        }
    }

    fn record_keys(&mut self, commit: &Commit) {
        for change in &commit.changes {
            if let Change::Put(entry) = change {
                self.keys.insert(entry);
            }
        }
    }
}

impl Iterator for SnapshotReader {
    type Item = Result<Entry, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.after_records.is_some() {
            return None;
        }
        match self.lines.next()? {
            Ok(SnapshotLine::Record(entry)) => {
                self.keys.insert(&entry);
                Some(Ok(entry))
            }
            Ok(other) => {
                self.after_records = Some(other);
                None
            }
            Err(no_feed) => Some(Err(no_feed.into())),
        }
    }
}

fn malformed(what: &str) -> LoadError {
    LoadError::Malformed(what.to_owned())
}

/// Which keys a snapshot carries, by the first eight bytes of their fingerprints: enough to count what is missing.
#[derive(Default)]
pub struct KeySet(Vec<u64>);

impl KeySet {
    fn insert(&mut self, entry: &Entry) {
        if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
            self.0.push(fingerprint_prefix(&key.key.fingerprint()));
        }
    }

    fn sorted(mut self) -> Self {
        self.0.sort_unstable();
        self
    }

    /// How many keys a generation has, and how many of them are neither here nor in the one that followed on from here. Reads the
    /// former through. Blocks.
    pub fn count_missing(&self, generation: &Generation, followed: &Generation) -> Result<Loss, StoreError> {
        let mut missing = Loss { lost: 0, total: 0 };
        for line in generation.record_lines() {
            let line = line?;
            if !line.starts_with(KEY_LINE_PREFIX) {
                continue;
            }
            let entry = Entry::parse(&line).map_err(|error| StoreError(error.to_string()))?;
            if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
                missing.total += 1;
                missing.lost += u64::from(!self.contains(&key.key.fingerprint(), followed)?);
            }
        }
        Ok(missing)
    }

    fn contains(&self, fingerprint: &Fingerprint, followed: &Generation) -> Result<bool, StoreError> {
        if self.0.binary_search(&fingerprint_prefix(fingerprint)).is_ok() {
            return Ok(true);
        }
        followed.key_by_fingerprint(fingerprint).map(|key| key.is_some()).map_err(|fault| StoreError(fault.to_string()))
    }
}

fn fingerprint_prefix(fingerprint: &Fingerprint) -> u64 {
    fingerprint.0.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
