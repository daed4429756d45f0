//! What a restored store says of itself: a mark in the private store, until the first start has read it, and a lasting note.
//!
//! ```text
//! restored                    {"made_at": when the backup was made}
//! revocations-unknown-until   when it was restored, if not all that was revoked between the backup and then is known
//! ```
//! A backup has the note of its store, so that what is restored from it does not pass for one that knows all.

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;

/// The key of the mark.
pub const RESTORED_KEY: &[u8] = b"restored";

/// The key of the note.
pub const UNKNOWN_UNTIL_KEY: &[u8] = b"revocations-unknown-until";

/// That a store was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredMark {
    /// When the backup was made.
    pub made_at: Time,
}

/// Returns the write that marks a store as restored.
pub fn mark_write(mark: RestoredMark) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    Ok((RESTORED_KEY.to_vec(), Some(serde_json::to_vec(&mark).map_err(|error| StoreError(error.to_string()))?)))
}

/// Returns the mark of a store that was restored and not started since.
pub fn read_mark(private_store: &PrivateStore) -> Result<Option<RestoredMark>, StoreError> {
    Ok(private_store.read(RESTORED_KEY)?.and_then(|value| serde_json::from_slice(&value).ok()))
}

/// Returns the time before which a store may not know of revocations, because it was restored without the store that had them; `None` if it
/// knows all. A note that cannot be read is an error: nothing may be taken for complete then.
pub fn unknown_until(private_store: &PrivateStore) -> Result<Option<Time>, StoreError> {
    let Some(value) = private_store.read(UNKNOWN_UNTIL_KEY)? else { return Ok(None) };
    serde_json::from_slice(&value).map(Some).map_err(|_| StoreError("the note of an earlier restore cannot be read".to_owned()))
}

/// Returns the write that notes it.
pub fn unknown_until_write(until: Time) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    Ok((UNKNOWN_UNTIL_KEY.to_vec(), Some(serde_json::to_vec(&until).map_err(|error| StoreError(error.to_string()))?)))
}
