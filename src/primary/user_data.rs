//! What the private store has of a user, and how it goes with the user: a number that comes back is a new person.
//!
//! ```text
//! token/of/<user><id>                 the hash of a personal access token; the token is token/sha256/<hash>
//! codes/<user>                        recovery codes
//! message/<user><repository>          messages that wait for a push
//! used/user/<user>, used/key/<key>    on which day an account and a key were last used
//! kubernetes/member/<set>/<user>      who used cluster agents, if the set is one of users
//! gone/user/<user>                    the last commit before the one that removed a user with this id; enters the keys of LFS tokens
//! ```
//! All of it is looked up by a number. What is removed goes after the commit that removes the user, still under the writer's lock; a
//! crash in between leaves it to what comes before the next commit (directory/repairs.rs). Whoever writes such an entry checks, inside the private store's update, that the user is
//! still there.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::model::change::Head;
use crate::model::id::Id;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// Tokens by their owners.
pub const TOKEN_OWNER_PREFIX: &[u8] = b"token/of/";
/// Tokens by the hashes of their secrets.
pub const TOKEN_HASH_PREFIX: &[u8] = b"token/sha256/";
/// Recovery codes.
pub const RECOVERY_CODES_PREFIX: &[u8] = b"codes/";
/// Messages that wait for a push.
pub const MESSAGE_PREFIX: &[u8] = b"message/";
/// When users were last active.
pub const USER_USED_PREFIX: &[u8] = b"used/user/";
/// When keys were last used.
pub const KEY_USED_PREFIX: &[u8] = b"used/key/";
/// Who is counted in sets of users, agents and projects.
pub const SET_MEMBER_PREFIX: &[u8] = b"kubernetes/member/";
const GONE_PREFIX: &[u8] = b"gone/user/";

/// Returns whether a set of this name has users as members.
#[must_use]
pub fn is_set_of_users(name: &str) -> bool {
    name.contains("users")
}

/// Removes what belongs to users whom the directory does not have; returns how many entries. Call it under the
/// writer's lock. Blocks.
pub fn remove_orphaned(private_store: &PrivateStore, directory: &Generation) -> Result<usize, StoreError> {
    remove_where(private_store, |id| user_exists(directory, id).map(|exists| !exists))
}

/// Removes what belongs to these users; returns how many entries. Call it under the writer's lock. Blocks.
pub fn remove_of(private_store: &PrivateStore, users: &BTreeSet<Id>) -> Result<usize, StoreError> {
    remove_where(private_store, |id| Ok(users.contains(&id)))
}

/// Last uses are not looked at: they are forgotten when a user or a key is removed, and when an id is given to another.
fn remove_where(private_store: &PrivateStore, is_gone: impl Fn(Id) -> Result<bool, StoreError>) -> Result<usize, StoreError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        for prefix in [TOKEN_OWNER_PREFIX, RECOVERY_CODES_PREFIX, MESSAGE_PREFIX] {
            for (key, value) in private_store.scan_prefix(prefix)? {
                if leading_id(&key, prefix.len()).map_or(Ok(false), &is_gone)? {
                    if prefix == TOKEN_OWNER_PREFIX {
                        writes.entries.push(([TOKEN_HASH_PREFIX, &value].concat(), None));
                    }
                    writes.entries.push((key, None));
                }
            }
        }
        for (key, _) in private_store.scan_prefix(SET_MEMBER_PREFIX)? {
            // The name of the set is followed by a slash and the eight bytes of an id.
            let end = key.len().saturating_sub(8);
            let of_users = key.get(..end).is_some_and(|name| is_set_of_users(&String::from_utf8_lossy(name)));
            if of_users && leading_id(&key, end).map_or(Ok(false), &is_gone)? {
                writes.entries.push((key, None));
            }
        }
        let count = writes.entries.len();
        Ok((writes, count))
    })
}

/// Notes that users are about to be removed: LFS tokens that they have are not their successors'. Call it under the writer's lock, before
/// the commit. Blocks.
pub fn mark_gone(private_store: &PrivateStore, head: &Head, users: &[Id]) -> Result<(), StoreError> {
    if users.is_empty() {
        return Ok(());
    }
    let entries = users.iter().map(|id| (gone_key(*id), Some(head.seq.to_be_bytes().to_vec())));
    private_store.write(PrivateWrites { entries: entries.collect() })
}

/// Returns the seed of a user's LFS tokens: the store's, unless another user had this id before. Blocks.
pub fn token_seed(store: &PrimaryStore, user: Id) -> Result<[u8; 32], StoreError> {
    let seed = store.token_seed();
    Ok(match store.private_store().read(&gone_key(user))? {
        Some(gone) => Sha256::new().chain_update(seed).chain_update(b"gone").chain_update(gone).finalize().into(),
        None => seed,
    })
}

/// Returns whether the directory has a user with this id.
pub fn user_exists(directory: &Generation, id: Id) -> Result<bool, StoreError> {
    directory.has_entry(&SortKey::user(id))
}

/// Returns whether the directory has a key with this id.
pub fn key_exists(directory: &Generation, id: Id) -> Result<bool, StoreError> {
    Ok(!directory.find_keys_by_id(id)?.is_empty())
}

fn gone_key(user: Id) -> Vec<u8> {
    [GONE_PREFIX, &user.bytes()].concat()
}

fn leading_id(key: &[u8], start: usize) -> Option<Id> {
    let bytes = key.get(start..start.checked_add(8)?)?;
    Id::try_from(u64::from_be_bytes(bytes.try_into().ok()?)).ok()
}
