//! The records of the directory file that are never published, in the private_store; and how they change together with the others,
//! although the private_store and the directory are two databases.
//!
//! ```text
//! withheld/<place>   one record, in its canonical form
//! withheld-intent    what an apply is about to change here, and the number of the commit that it goes with
//! ```
//! An apply that changes both writes its intent first, then commits the directory, then does what it intended and takes the
//! intent away, in one batch. A crash before the commit leaves an intent whose commit there is not: the next start drops it.
//! A crash after it leaves one whose commit there is: the next start does it. Between the commit and the end a reader may
//! for a moment see the new directory with the old policies. An apply that changes only one of the two needs no intent.

use serde::{Deserialize, Serialize};

use crate::model::change::Head;
use crate::model::id::Id;
use crate::model::unpublished::{Broadcast, PolicyConfiguration, ScanExecutionPolicy, UnpublishedRecord};
use crate::store::error::StoreError;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

const KEY_PREFIX: &[u8] = b"withheld/";
const INTENT_KEY: &[u8] = b"withheld-intent";

/// By their places: the new texts, or that they go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishedChanges(pub Vec<(Vec<u8>, Option<String>)>);

#[derive(Serialize, Deserialize)]
struct CommitIntent {
    /// The number of the last commit before the one that this goes with.
    after: u64,
    changes: UnpublishedChanges,
}

/// All of them, in the order of their places.
pub fn load_all(private_store: &PrivateStore) -> Result<Vec<UnpublishedRecord>, StoreError> {
    private_store.scan_prefix(KEY_PREFIX)?.into_iter().map(|(_, text)| parse_record(&text)).collect()
}

/// The scan policies of a project.
pub fn scan_policies(private_store: &PrivateStore, project: Id) -> Result<Vec<ScanExecutionPolicy>, StoreError> {
    let of = |record| match record {
        UnpublishedRecord::ScanExecutionPolicy(policy) if policy.project_id == project => Some(policy),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(of).collect())
}

/// The configurations of a project's scans.
pub fn policy_configurations(private_store: &PrivateStore, project: Id) -> Result<Vec<PolicyConfiguration>, StoreError> {
    let of = |record| match record {
        UnpublishedRecord::PolicyConfiguration(configuration) if configuration.project_id == project => Some(configuration),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(of).collect())
}

/// The broadcasts, whatever their time, lowest id first.
pub fn broadcasts(private_store: &PrivateStore) -> Result<Vec<Broadcast>, StoreError> {
    let of = |record| match record {
        UnpublishedRecord::Broadcast(broadcast) => Some(broadcast),
        _ => None,
    };
    Ok(load_all(private_store)?.into_iter().filter_map(of).collect())
}

/// Changes them, where the directory does not change with them. Blocks.
pub fn write(private_store: &PrivateStore, changes: UnpublishedChanges) -> Result<(), StoreError> {
    private_store.write(PrivateWrites { entries: changes.into_entries() })
}

/// Says what is to change with the next commit of the directory. Blocks.
pub fn write_intent(private_store: &PrivateStore, head: &Head, changes: UnpublishedChanges) -> Result<(), StoreError> {
    let intent = serde_json::to_vec(&CommitIntent { after: head.seq, changes }).map_err(|error| StoreError(error.to_string()))?;
    private_store.write(PrivateWrites { entries: vec![(INTENT_KEY.to_vec(), Some(intent))] })
}

/// Does what was intended: the commit is made. Blocks.
pub fn apply_intent(private_store: &PrivateStore) -> Result<(), StoreError> {
    resolve_intent(private_store, |_| true)
}

/// Does what was intended if its commit was made, else drops it; asked with a head that is on disk. Blocks.
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
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn into_entries(self) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        self.0.into_iter().map(|(place, text)| ([KEY_PREFIX, &place].concat(), text.map(String::into_bytes))).collect()
    }
}

fn parse_record(text: &[u8]) -> Result<UnpublishedRecord, StoreError> {
    let damage = |reason: String| StoreError(format!("a record that is not published cannot be read again: {reason}"));
    let text = std::str::from_utf8(text).map_err(|error| damage(error.to_string()))?;
    UnpublishedRecord::parse(text).map_err(|error| damage(error.to_string()))
}
