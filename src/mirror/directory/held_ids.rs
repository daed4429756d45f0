//! Which users are held, and which keys each has: the directory itself finds a key by its fingerprint and by its id only.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// The ids of the users, and of the keys of each; those of deploy keys under `None`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HeldIds {
    users: BTreeSet<Id>,
    keys: HashMap<Option<Id>, Vec<Id>>,
    owners: HashMap<Id, Option<Id>>,
}

impl HeldIds {
    /// Reads the whole directory. Blocks.
    pub fn load(directory: &Generation) -> Result<Self, StoreError> {
        let mut held = Self::default();
        for entry in directory.entries() {
            held.put(&entry?);
        }
        Ok(held)
    }

    /// Returns the ids of a user's keys, or of the deploy keys.
    #[must_use]
    pub fn keys_of(&self, user: Option<Id>) -> &[Id] {
        self.keys.get(&user).map_or(&[], Vec::as_slice)
    }

    /// Returns how many keys there are.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.owners.len()
    }

    /// Returns whether there is this user.
    #[must_use]
    pub fn has_user(&self, id: Id) -> bool {
        self.users.contains(&id)
    }

    /// Returns how many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Returns the users with ids above `after`, up to `until`; `None`: from the first, to the last.
    pub fn users_between(&self, after: Option<Id>, until: Option<Id>) -> impl Iterator<Item = Id> + '_ {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let until = until.map_or(Bound::Unbounded, Bound::Included);
        // An empty range may not be asked for.
        let is_empty = matches!((after, until), (Bound::Excluded(after), Bound::Included(until)) if after >= until);
        (!is_empty).then(|| self.users.range((after, until)).copied()).into_iter().flatten()
    }

    /// Returns the ids of all keys, in no order.
    pub fn key_ids(&self) -> impl Iterator<Item = Id> + '_ {
        self.owners.keys().copied()
    }

    /// Notes changes that were committed, the deletes first.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Delete(RecordIdentity::Key(id)) => self.remove(*id),
                Change::Delete(identity) => {
                    if let Some(id) = user_of(identity) {
                        self.users.remove(&id);
                    }
                }
                Change::Put(_) => {}
            }
        }
        for change in changes {
            if let Change::Put(entry) = change {
                self.put(entry);
            }
        }
    }

    fn put(&mut self, entry: &Entry) {
        match entry.record().map(AsRef::as_ref) {
            Some(Record::Key(key)) => self.insert(key.id, key.user_id),
            Some(Record::User(user)) => drop(self.users.insert(user.id)),
            _ => {}
        }
    }

    fn insert(&mut self, key: Id, owner: Option<Id>) {
        self.remove(key);
        self.owners.insert(key, owner);
        self.keys.entry(owner).or_default().push(key);
    }

    fn remove(&mut self, key: Id) {
        let Some(owner) = self.owners.remove(&key) else { return };
        if let Some(keys) = self.keys.get_mut(&owner) {
            keys.retain(|id| *id != key);
            if keys.is_empty() {
                self.keys.remove(&owner);
            }
        }
    }
}

/// Returns the id of the user that an identity names.
fn user_of(identity: &RecordIdentity) -> Option<Id> {
    let RecordIdentity::Other(sort_key, _) = identity else { return None };
    let bytes = sort_key.as_bytes().last_chunk::<8>()?;
    let id = Id::try_from(u64::from_be_bytes(*bytes)).ok()?;
    (*sort_key == SortKey::user(id)).then_some(id)
}
