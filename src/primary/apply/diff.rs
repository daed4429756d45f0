//! Compares a directory file with the present directory, in the order of a snapshot: which records are added, changed, removed, or stay.

use std::io;
use std::iter::Peekable;

use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::primary::apply::constraints::RecordOrigin;
use crate::primary::apply::staged_file::{StagedFile, StagedRecord};
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// What becomes of the records that the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// They stay.
    Keep,
    /// They are removed: the file is the whole directory.
    Remove,
}

/// What becomes of one record.
#[derive(Debug)]
pub enum RecordDiff {
    /// A record of the directory stays as it is; its origin is a line if the file names it.
    Unchanged(Entry, RecordOrigin),
    /// A record of the file, with its line, is new.
    Added(Entry, usize),
    /// A record of the file replaces one of the directory.
    Changed {
        /// The record of the directory.
        old: Entry,
        /// The record of the file.
        new: Entry,
        /// Its line, from 1.
        line: usize,
    },
    /// A record of the directory is removed: the file is the whole directory and does not name it, gives its key id to another key, or
    /// has a project at the path of this redirect.
    Removed(Entry),
}

/// Why a comparison cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Damage(#[from] StoreError),
    /// The temporary file cannot be read.
    #[error("the file in the store's folder: {0}")]
    Io(#[from] io::Error),
    /// The temporary file reads otherwise than it was written.
    #[error("a record that was read before cannot be read again: {0}")]
    Corrupt(#[from] crate::model::record::InvalidRecord),
}

/// The comparison, in the order of a snapshot.
pub struct DirectoryDiff<'a, I: Iterator<Item = Result<Entry, StoreError>>> {
    existing: Peekable<I>,
    staged_records: std::slice::Iter<'a, StagedRecord>,
    staged_file: &'a StagedFile,
    unlisted: Unlisted,
}

/// Compares a staged file with a directory.
pub fn diff<'a>(
    directory: &Generation,
    staged: &'a StagedFile,
    unlisted: Unlisted,
) -> DirectoryDiff<'a, impl Iterator<Item = Result<Entry, StoreError>> + use<>> {
    DirectoryDiff { existing: directory.entries().peekable(), staged_records: staged.records.iter(), staged_file: staged, unlisted }
}

impl<I: Iterator<Item = Result<Entry, StoreError>>> Iterator for DirectoryDiff<'_, I> {
    type Item = Result<RecordDiff, DiffError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_diff().transpose()
    }
}

impl<I: Iterator<Item = Result<Entry, StoreError>>> DirectoryDiff<'_, I> {
    fn next_diff(&mut self) -> Result<Option<RecordDiff>, DiffError> {
        let staged_next = self.staged_records.as_slice().first();
        let existing_next = match self.existing.peek() {
            Some(Ok(entry)) => Some(entry.sort_key()),
            Some(Err(damage)) => return Err(damage.clone().into()),
            None => None,
        };
        let order = match (existing_next, staged_next) {
            (None, None) => return Ok(None),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(existing), Some(staged)) => existing.cmp(&staged.sort_key),
        };
        let old = if order.is_le() { self.existing.next().transpose()? } else { None };
        let new = if order.is_ge() { self.staged_records.next() } else { None };
        Ok(match (old, new) {
            (Some(old), None) => Some(self.unlisted(old)),
            (None, Some(staged)) => Some(RecordDiff::Added(self.read_entry(staged)?, staged.line)),
            (Some(old), Some(staged)) if *old.text() == self.staged_file.text(staged)? => {
                Some(RecordDiff::Unchanged(old, RecordOrigin::Line(staged.line)))
            }
            (Some(old), Some(staged)) => Some(RecordDiff::Changed { old, new: self.read_entry(staged)?, line: staged.line }),
            (None, None) => None,
        })
    }

    fn unlisted(&self, old: Entry) -> RecordDiff {
        let id_is_taken = matches!(old.record().map(AsRef::as_ref), Some(Record::Key(key)) if self.staged_file.key_ids.contains(&key.id));
        match self.unlisted {
            Unlisted::Keep if !id_is_taken && !self.staged_file.taken_redirects.contains(old.sort_key()) => {
                RecordDiff::Unchanged(old, RecordOrigin::Directory)
            }
            _ => RecordDiff::Removed(old),
        }
    }

    fn read_entry(&self, staged: &StagedRecord) -> Result<Entry, DiffError> {
        Ok(Entry::parse(&self.staged_file.text(staged)?)?)
    }
}
