//! The records of the directory file that are never published, in the private store; and how they change together with the others,
//! although the private store and the directory are two databases.
//!
//! ```text
//! withheld/<sort key>   one record, in its canonical form
//! withheld-intent       what an apply is about to change here, and the last commit before the one that it belongs to
//! ```
//! An apply that changes both databases writes its intent first, then commits the directory, then makes the intended changes and removes
//! the intent in one batch. A crash before the commit leaves an intent without its commit: the next start drops it. A crash after the
//! commit leaves an intent with its commit: the next start makes the changes. Between the commit and the last step a reader may see the
//! new directory with the old policies. An apply that changes only one of the two databases needs no intent.

use serde::{Deserialize, Serialize};

use crate::model::change::Head;
use crate::model::id::Id;
use crate::model::unpublished::{Broadcast, PolicyConfiguration, ScanExecutionPolicy, UnpublishedRecord};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// The name on disk, which stays as it was first given.
const KEY_PREFIX: &[u8] = b"withheld/";
/// The same.
const INTENT_KEY: &[u8] = b"withheld-intent";

/// The changes, by sort key: the new text of a record, or `None` if it is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishedChanges(pub Vec<(Vec<u8>, Option<String>)>);

#[derive(Serialize, Deserialize)]
struct CommitIntent {
    /// The last commit before the one that the changes belong to.
    after: u64,
    changes: UnpublishedChanges,
}

/// Returns all records, in the order of their sort keys.
pub fn load_all(private_store: &PrivateStore) -> Result<Vec<UnpublishedRecord>, StoreError> {
    private_store.scan_prefix(KEY_PREFIX)?.into_iter().map(|(_, text)| parse_record(&text)).collect()
}

/// Returns the scan policies of a project.
pub fn scan_policies(private_store: &PrivateStore, project: Id) -> Result<Vec<ScanExecutionPolicy>, StoreError> {
    let select = |record| match record {
        UnpublishedRecord::ScanExecutionPolicy(policy) if policy.project_id == project => Some(policy),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(select).collect())
}

/// Returns the scan configurations of a project.
pub fn policy_configurations(private_store: &PrivateStore, project: Id) -> Result<Vec<PolicyConfiguration>, StoreError> {
    let select = |record| match record {
        UnpublishedRecord::PolicyConfiguration(configuration) if configuration.project_id == project => Some(configuration),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(select).collect())
}

/// Returns the broadcasts, whatever their time, lowest id first.
pub fn broadcasts(private_store: &PrivateStore) -> Result<Vec<Broadcast>, StoreError> {
    let select = |record| match record {
        UnpublishedRecord::Broadcast(broadcast) => Some(broadcast),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(select).collect())
}

/// Makes changes that belong to no commit of the directory. Blocks.
pub fn write(private_store: &PrivateStore, changes: UnpublishedChanges) -> Result<(), StoreError> {
    private_store.write(PrivateWrites { entries: changes.into_entries() })
}

/// Writes which changes belong to the next commit of the directory. Blocks.
pub fn write_intent(private_store: &PrivateStore, head: &Head, changes: UnpublishedChanges) -> Result<(), StoreError> {
    let intent = serde_json::to_vec(&CommitIntent { after: head.seq, changes }).map_err(|error| StoreError(error.to_string()))?;
    private_store.write(PrivateWrites { entries: vec![(INTENT_KEY.to_vec(), Some(intent))] })
}

/// Makes the intended changes, once their commit is made. Blocks.
pub fn apply_intent(private_store: &PrivateStore) -> Result<(), StoreError> {
    resolve_intent(private_store, |_| true)
}

/// Makes the intended changes if their commit was made, else drops them. `head` must be on disk. Blocks.
pub fn recover_intent(private_store: &PrivateStore, head: &Head) -> Result<(), StoreError> {
    resolve_intent(private_store, |intent| head.seq > intent.after)
}

fn resolve_intent(private_store: &PrivateStore, was_committed: impl FnOnce(&CommitIntent) -> bool) -> Result<(), StoreError> {
    private_store.update(|private_store| {
        let mut writes = PrivateWrites::default();
        if let Some(intent) = private_store.read(INTENT_KEY)? {
            let intent: CommitIntent =
                serde_json::from_slice(&intent).map_err(|error| StoreError(format!("an intent of an apply: {error}")))?;
            if was_committed(&intent) {
                writes.entries = intent.changes.into_entries();
            }
            writes.entries.push((INTENT_KEY.to_vec(), None));
        }
        Ok((writes, ()))
    })
}

impl UnpublishedChanges {
    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn into_entries(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.0.into_iter().map(|(sort_key, text)| ([KEY_PREFIX, &sort_key].concat(), text.map(String::into_bytes))).collect()
    }
}

fn parse_record(text: &[u8]) -> Result<UnpublishedRecord, StoreError> {
    let invalid = |reason: String| StoreError(format!("a record that is not published cannot be read again: {reason}"));
    let text = std::str::from_utf8(text).map_err(|error| invalid(error.to_string()))?;
    UnpublishedRecord::parse(text).map_err(|error| invalid(error.to_string()))
}
