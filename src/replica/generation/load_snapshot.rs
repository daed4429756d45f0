//! Builds a generation out of a snapshot, or fails: its lines must be in order, its commits follow one another, and it must add up.

use std::path::Path;

use crate::model::change::{Change, Commit, Epoch, Head};
use crate::model::coverage::Coverage;
use crate::model::entry::Entry;
use crate::replica::feed::source::{FeedError, SnapshotLines};
use crate::replica::generation::apply::apply_changes;
use crate::replica::generation::coverage_file;
use crate::replica::generation::key_set::KeySet;
use crate::store::error::StoreError;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::wire::directory::feed_lines::{SNAPSHOT_FORMAT, SnapshotEnd, SnapshotHeader, SnapshotLine};

/// A generation that was loaded, closed, opened again and read through.
pub struct LoadedSnapshot {
    /// The generation.
    pub generation: Generation,
    /// The head that the snapshot ends at.
    pub head: Head,
    /// The kinds of records that its head named.
    pub coverage: Coverage,
    /// Whether an operator of the primary has accepted a loss of keys.
    pub accept_loss: bool,
    /// The keys that the snapshot carries.
    pub keys: KeySet,
}

/// Why no generation could be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The snapshot did not arrive, or not as lines of the feed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The store could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The lines are not in the order of a snapshot.
    #[error("the snapshot is not usable: {0}")]
    Malformed(String),
    /// The records do not add up to what the last line says.
    #[error("the snapshot does not add up to what its end says")]
    DigestMismatch,
}

/// Loads a snapshot into `folder`. Blocks until the generation has been closed, opened again and read through.
pub fn load_snapshot(folder: &Path, options: &StoreOptions, lines: SnapshotLines) -> Result<LoadedSnapshot, LoadError> {
    let mut reader = SnapshotReader { lines, after_records: None, keys: KeySet::default() };
    let SnapshotHeader { epoch, from_seq, covers, .. } = reader.read_header()?;
    let coverage = Coverage::from(covers);
    let generation = Generation::create(folder, options, &mut reader)?;
    let end = reader.replay_commits(&generation, from_seq)?;
    reader.expect_end()?;
    commit_cursor(&generation, epoch, &end)?;
    drop(generation);
    coverage_file::write(folder, &coverage)?;
    let generation = Generation::open(folder, options)?;
    if generation.state() != end.state || !generation.is_intact()? {
        return Err(LoadError::DigestMismatch);
    }
    let head = Head { epoch, seq: end.seq, state: end.state };
    Ok(LoadedSnapshot { generation, head, coverage, accept_loss: end.accept_loss, keys: reader.keys.sorted() })
}

/// Sets the generation's cursor, if it adds up.
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
    fn read_header(&mut self) -> Result<SnapshotHeader, LoadError> {
        match self.lines.next().transpose()? {
            Some(SnapshotLine::Header(header)) if header.format == SNAPSHOT_FORMAT => Ok(header),
            Some(SnapshotLine::Header(header)) => {
                Err(malformed(&format!("its format is {}, this program reads {SNAPSHOT_FORMAT}", header.format)))
            }
            _ => Err(malformed("it does not begin with its header")),
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
            Err(error) => Some(Err(error.into())),
        }
    }
}

fn malformed(what: &str) -> LoadError {
    LoadError::Malformed(what.to_owned())
}
