//! What every part of the store fails with: one sentence for the operator. The lowest floor of the store.

use std::path::Path;

use crate::model::directory::DirectoryError;

/// The words of every error that a full disk is the reason of.
const DISK_FULL: &str = "this disk is full";

/// Something on disk that cannot be trusted, read or written. The text names the folder or file where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

impl StoreError {
    /// Refuses a write for which the disk has not as many bytes free as it needs. Nothing was written.
    #[must_use]
    pub fn disk_full(folder: &Path, bytes: u64) -> Self {
        Self(format!("{}: {DISK_FULL}: a write needs {} MiB free, and was not begun; make room", folder.display(), bytes.div_ceil(1 << 20)))
    }

    /// Returns whether a full disk is the reason.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        self.0.contains(DISK_FULL)
    }

    /// Returns the error of a file that a full disk did not take.
    #[must_use]
    pub fn file_on_full_disk(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{}: {DISK_FULL}: {error}; make room", path.display()))
    }
}

impl From<StoreError> for DirectoryError {
    fn from(error: StoreError) -> Self {
        Self(error.0)
    }
}
