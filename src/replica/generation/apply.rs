//! Applies the changes of commits to a generation: deletes first, in small batches, the cursor only with the last batch.

use crate::model::change::{Change, Epoch};
use crate::model::digest::DirectoryDigest;
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
