//! Applies the changes of commits to a generation: deletes first, in small batches, the cursor only with the last batch.

use crate::model::change::{Change, Epoch};
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::replica::generation::access_reduction::reduces_access;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// Most changes of one batch: while a batch is applied, every reader of the store waits.
pub const MAX_BATCH_CHANGES: usize = 50;

/// Applies the changes of one commit and moves the cursor, if one is given, with the last batch. Returns what the store adds up
/// to then. Blocks.
pub fn apply_changes(generation: &Generation, changes: Vec<Change>, cursor: Option<(Epoch, u64)>) -> Result<DirectoryDigest, StoreError> {
    let (mut ordered, puts): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| matches!(change, Change::Delete(_)));
    ordered.extend(puts);
    let mut rest = ordered.as_slice();
    while rest.len() > MAX_BATCH_CHANGES {
        let (batch, more) = rest.split_at(MAX_BATCH_CHANGES);
        generation.apply(batch, None)?;
        rest = more;
    }
    if rest.is_empty() && cursor.is_none() {
        return Ok(generation.state());
    }
    generation.apply(rest, cursor)
}

/// Applies only those changes of one commit that take access away, and leaves the cursor. Returns what the store adds up to then. Blocks.
pub fn apply_access_reductions(generation: &Generation, changes: Vec<Change>) -> Result<DirectoryDigest, StoreError> {
    let mut reductions = Vec::new();
    for change in changes {
        if is_access_reduction(generation, &change)? {
            reductions.push(change);
        }
    }
    apply_changes(generation, reductions, None)
}

fn is_access_reduction(generation: &Generation, change: &Change) -> Result<bool, StoreError> {
    let Change::Put(entry) = change else { return Ok(true) };
    let stored = stored_entry(generation, entry)?;
    Ok(match (stored.as_ref().and_then(Entry::record), entry.record()) {
        (Some(old), Some(new)) => reduces_access(old, new),
        _ => false,
    })
}

fn stored_entry(generation: &Generation, entry: &Entry) -> Result<Option<Entry>, StoreError> {
    let identity = match entry.record().map(AsRef::as_ref) {
        Some(Record::Key(key)) => RecordIdentity::Key(key.id),
        _ => RecordIdentity::Other(entry.sort_key().clone(), entry.text().into()),
    };
    generation.entry(&identity)
}
