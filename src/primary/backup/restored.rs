//! What a restored store says of itself: a mark in the private store, until the first start has read it.
//!
//! ```text
//! restored   {"made_at": when the backup was made}
//! ```

use serde::{Deserialize, Serialize};

use crate::model::time::Time;
use crate::store::error::StoreError;
use crate::store::primary::private_store::PrivateStore;

/// The key of the mark.
pub const RESTORED_KEY: &[u8] = b"restored";

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
