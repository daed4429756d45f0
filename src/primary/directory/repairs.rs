//! What a crash, or a disk that took no more, left unfinished between the directory and the private store: revocations that are marked and
//! not committed, marks of what was undone, and what belonged to users who are gone.
//!
//! The two stores are two databases, so that one of them may be a step ahead. Which step it was can be told only until the next commit, so
//! the directory's writer makes these repairs before it lets anybody write.

use crate::api::error::ApiError;
use crate::model::change::Head;
use crate::primary::directory::revocations::{self, InterruptedRevocations};
use crate::primary::user_data;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::PrivateWrites;

/// What was repaired.
#[derive(Debug)]
pub struct Repairs {
    /// The head afterwards.
    pub head: Head,
    /// How many changes were committed for it.
    pub changes: usize,
}

/// Makes all repairs. Call it under the writer's lock. What was made stays made if a later one cannot be. Blocks.
pub fn make(store: &PrimaryStore) -> Result<Repairs, ApiError> {
    let (head, (changes, count, stale)) = store.commit(|directory| {
        let InterruptedRevocations { count, changes, stale } = revocations::find_interrupted(directory, store.private_store())?;
        let number = changes.len();
        Ok::<_, ApiError>((changes, (number, count, stale)))
    })?;
    if count > 0 {
        tracing::warn!(count, "made {count} revocations that were marked and not committed");
    }
    if !stale.is_empty() {
        store.private_store().write(PrivateWrites { entries: stale })?;
    }
    remove_orphaned(store)?;
    Ok(Repairs { head, changes })
}

/// Removes what belongs to users who are not in the directory any more. Of a directory without any user nothing is removed: it may have
/// been begun anew after damage, and the next file brings the same people.
fn remove_orphaned(store: &PrimaryStore) -> Result<(), StoreError> {
    let directory = store.directory();
    if !directory.counts_by_kind().contains_key("user") {
        return Ok(());
    }
    let count = user_data::remove_orphaned(store.private_store(), &directory)?;
    if count > 0 {
        tracing::warn!(count, "removed {count} entries of users who are not in the directory any more");
    }
    Ok(())
}
