//! What every part of the store fails with: one sentence for the operator. The lowest floor of the store.

use crate::model::directory::DirectoryError;

/// Something on disk that cannot be trusted, read or written. The text names the folder or file where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        Self(error.0)
    }
}
