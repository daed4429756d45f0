//! How far the full walk is, on disk after each page: a restart goes on where the last process ended.

use serde::{Deserialize, Serialize};

use crate::mirror::gitlab::page::{ListKind, PageCursor};
use crate::model::id::Id;
use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const PROGRESS_KEY: &[u8] = b"mirror/walk/progress";
const LAST_KEY: &[u8] = b"mirror/walk/last";

/// So many records that were not found are remembered; the next walk finds the others.
pub const MAX_MISSING: usize = 10_000;

/// A full walk that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalkProgress {
    /// When it began.
    pub began: Time,
    /// The next page of users, as text; `None`: all users are walked.
    next: Option<String>,
    /// The last user that was met: the list is in the order of ids.
    pub last_user: Option<Id>,
    /// How many users were met.
    pub users: u64,
    /// How many of their keys.
    pub keys: u64,
    /// How many records were published.
    pub changes: u64,
    /// Users that are held and were not met, the first of them.
    pub missing_users: Vec<Id>,
    /// Keys that are held and were not met, the first of them.
    pub missing_keys: Vec<Id>,
    /// How many users and keys that is in all.
    pub missing_count: (u64, u64),
}

/// The last full walk that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedWalk {
    /// When it began.
    pub began: Time,
    /// When it ended.
    pub ended: Time,
    /// How many users GitLab had.
    pub users: u64,
    /// How many keys of users and deploy keys.
    pub keys: u64,
    /// How many records were published.
    pub changes: u64,
}

impl WalkProgress {
    /// Returns that of a walk that begins now.
    #[must_use]
    pub fn begin(now: Time) -> Self {
        Self {
            began: now,
            next: Some(PageCursor::users_by_id().to_string()),
            last_user: None,
            users: 0,
            keys: 0,
            changes: 0,
            missing_users: Vec::new(),
            missing_keys: Vec::new(),
            missing_count: (0, 0),
        }
    }

    /// Reads that of the walk that was under way when the last process ended. Blocks.
    pub fn load(private_store: &PrivateStore) -> Result<Option<Self>, StoreError> {
        load(private_store, PROGRESS_KEY)
    }

    /// Stores it. Blocks.
    pub fn store(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        private_store.write(PrivateWrites { entries: vec![(PROGRESS_KEY.to_vec(), Some(encode(self)?))] })
    }

    /// Returns the next page of users; `None`: all users are walked.
    #[must_use]
    pub fn next_page(&self) -> Option<PageCursor> {
        self.next.as_deref().and_then(|text| PageCursor::from_stored(text, ListKind::Users))
    }

    /// Sets the next page of users.
    pub fn set_next_page(&mut self, next: Option<&PageCursor>) {
        self.next = next.map(ToString::to_string);
    }

    /// Remembers users and keys that are held and were not met.
    pub fn add_missing(&mut self, users: impl IntoIterator<Item = Id>, keys: impl IntoIterator<Item = Id>) {
        self.missing_count.0 += extend(&mut self.missing_users, users);
        self.missing_count.1 += extend(&mut self.missing_keys, keys);
    }
}

impl EndedWalk {
    /// Reads the last one that ended. Blocks.
    pub fn load(private_store: &PrivateStore) -> Result<Option<Self>, StoreError> {
        load(private_store, LAST_KEY)
    }

    /// Stores it, and that no walk is under way. Blocks.
    pub fn store(&self, private_store: &PrivateStore) -> Result<(), StoreError> {
        private_store.write(PrivateWrites { entries: vec![(LAST_KEY.to_vec(), Some(encode(self)?)), (PROGRESS_KEY.to_vec(), None)] })
    }
}

/// Adds ids, and returns how many there are; beyond [`MAX_MISSING`] they are counted only.
fn extend(missing: &mut Vec<Id>, ids: impl IntoIterator<Item = Id>) -> u64 {
    let mut count = 0;
    for id in ids {
        count += 1;
        if missing.len() < MAX_MISSING {
            missing.push(id);
        }
    }
    count
}

fn load<T: serde::de::DeserializeOwned>(private_store: &PrivateStore, key: &[u8]) -> Result<Option<T>, StoreError> {
    // What another version wrote is forgotten: the walk begins anew.
    Ok(private_store.read(key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|error| StoreError(error.to_string()))
}
