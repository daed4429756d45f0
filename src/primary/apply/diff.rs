//! A directory file beside the directory that stands, place by place: what each step of the walk would leave there.

use std::io;
use std::iter::Peekable;

use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::primary::apply::constraints::RecordOrigin;
use crate::primary::apply::staged_file::{StagedFile, StagedRecord};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// What becomes of what the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// It stays.
    Keep,
    /// It goes: the file is the whole directory.
    Remove,
}

/// One step.
#[derive(Debug)]
pub enum RecordDiff {
    /// A record of the directory stays as it is; from the file too if there is a line.
    Unchanged(Entry, RecordOrigin),
    /// A record of the file is new.
    Added(Entry, usize),
    /// A record of the file takes the place of one of the directory.
    Changed {
        /// What goes.
        old: Entry,
        /// What comes.
        new: Entry,
        /// Its line.
        line: usize,
    },
    /// A record of the directory goes: the file is the whole directory and does not name it, or its key id is another key's now.
    Removed(Entry),
}

/// Why the walk stopped.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Damage(#[from] StoreError),
    /// Our own file cannot be read.
    #[error("the file in the store's folder: {0}")]
    Io(#[from] io::Error),
    /// Our own file reads otherwise than it was written.
    #[error("a record that was read before cannot be read again: {0}")]
    Corrupt(#[from] crate::model::record::InvalidRecord),
}

/// The walk, in the order of a snapshot.
pub struct DirectoryDiff<'a, I: Iterator<Item = Result<Entry, StoreError>>> {
    existing: Peekable<I>,
    staged_records: std::slice::Iter<'a, StagedRecord>,
    staged_file: &'a StagedFile,
    unlisted: Unlisted,
}

/// Begins the walk.
pub fn diff<'a>(
    standing: &Generation,
    spool: &'a StagedFile,
    unnamed: Unlisted,
) -> DirectoryDiff<'a, impl Iterator<Item = Result<Entry, StoreError>> + use<>> {
    DirectoryDiff { existing: standing.entries().peekable(), staged_records: spool.records.iter(), staged_file: spool, unlisted: unnamed }
}

impl<I: Iterator<Item = Result<Entry, StoreError>>> Iterator for DirectoryDiff<'_, I> {
    type Item = Result<RecordDiff, DiffError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_diff().transpose()
    }
}

impl<I: Iterator<Item = Result<Entry, StoreError>>> DirectoryDiff<'_, I> {
    fn next_diff(&mut self) -> Result<Option<RecordDiff>, DiffError> {
        let named = self.staged_records.as_slice().first();
        let standing = match self.existing.peek() {
            Some(Ok(entry)) => Some(entry.sort_key()),
            Some(Err(damage)) => return Err(damage.clone().into()),
            None => None,
        };
        let order = match (standing, named) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(standing), Some(named)) => standing.cmp(&named.sort_key),
        };
        let old = if order.is_le() { self.existing.next().transpose()? } else { None };
        let new = if order.is_ge() { self.staged_records.next() } else { None };
        Ok(match (old, new) {
            (Some(old), None) => Some(self.unlisted(old)),
            (None, Some(item)) => Some(RecordDiff::Added(self.read_entry(item)?, item.line)),
            (Some(old), Some(item)) if *old.text() == self.staged_file.text(item)? => {
                Some(RecordDiff::Unchanged(old, RecordOrigin::Line(item.line)))
            }
            (Some(old), Some(item)) => Some(RecordDiff::Changed { old, new: self.read_entry(item)?, line: item.line }),
            (None, None) => None,
        })
    }

    fn unlisted(&self, old: Entry) -> RecordDiff {
        let id_is_taken = matches!(old.record().map(AsRef::as_ref), Some(Record::Key(key)) if self.staged_file.key_ids.contains(&key.id));
        match self.unlisted {
            Unlisted::Keep if !id_is_taken => RecordDiff::Unchanged(old, RecordOrigin::Directory),
            _ => RecordDiff::Removed(old),
        }
    }

    fn read_entry(&self, item: &StagedRecord) -> Result<Entry, DiffError> {
        Ok(Entry::parse(&self.staged_file.text(item)?)?)
    }
}
