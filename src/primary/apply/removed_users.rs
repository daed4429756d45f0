//! What an apply does with the other data of users and keys that it adds and removes: a number that comes back is a new person.

use crate::api::rate_limit::RateLimiter;
use crate::model::change::Head;
use crate::model::id::Id;
use crate::primary::apply::plan::OwnerChanges;
use crate::primary::credentials::last_used::{LastUsed, LastUsedSubject};
use crate::primary::user_data;
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;

/// What is held of users and keys in memory.
#[derive(Clone, Copy)]
pub struct OwnersInMemory<'a> {
    /// On which days they were last used.
    pub last_used: &'a LastUsed,
    /// How often they came within this minute.
    pub rate_limiter: &'a RateLimiter,
}

/// Forgets the uses of what is about to get an id, and ends the LFS tokens of users who are about to be removed. Call it under the writer's
/// lock, before the commit. Blocks.
pub fn prepare(memory: OwnersInMemory<'_>, private_store: &PrivateStore, head: &Head, owners: &OwnerChanges) -> Result<(), StoreError> {
    user_data::mark_gone(private_store, head, &owners.removed_users)?;
    memory.last_used.forget(private_store, subjects(&owners.added_users, &owners.added_keys))
}

/// Removes what belongs to the users and keys that were removed. Call it under the writer's lock, after the commit. Blocks.
pub fn finish_removed(memory: OwnersInMemory<'_>, private_store: &PrivateStore, owners: &OwnerChanges) -> Result<(), StoreError> {
    memory.last_used.forget(private_store, subjects(&owners.removed_users, &owners.removed_keys))?;
    if owners.removed_users.is_empty() {
        return Ok(());
    }
    memory.rate_limiter.clear();
    let count = user_data::remove_of(private_store, &owners.removed_users.iter().copied().collect())?;
    if count > 0 {
        tracing::info!(count, "removed {count} entries of users who are not in the directory any more");
    }
    Ok(())
}

fn subjects(users: &[Id], keys: &[Id]) -> Vec<LastUsedSubject> {
    let users = users.iter().map(|id| LastUsedSubject::User(*id));
    users.chain(keys.iter().map(|id| LastUsedSubject::Key(*id))).collect()
}
