//! What every part of the store fails with: one sentence for the operator. The lowest floor of the store.

use std::path::Path;

use crate::model::clock;
use crate::model::directory::DirectoryError;
use crate::model::time::Time;

/// The words of every error that a full disk is the reason of.
const DISK_FULL: &str = "this disk is full";
/// The words of every error that a read-only file system is the reason of; a time follows, and a semicolon.
const READ_ONLY_SINCE: &str = "this file system is read-only since ";

/// Why a write is refused before it begins. It changed nothing, and may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteRefusal {
    /// The disk or the quota is full.
    DiskFull,
    /// The file system takes no writes: it was mounted so, or the kernel has made it so after an error.
    ReadOnly,
}

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

    /// Refuses a write to a file system that has been read-only since then. Nothing was written.
    #[must_use]
    pub fn read_only(folder: &Path, since: Time) -> Self {
        Self(format!("{}: {READ_ONLY_SINCE}{since}; a write was not begun; mount it writable again", folder.display()))
    }

    /// Returns why a write was refused before it began; `None` for every other error.
    #[must_use]
    pub fn write_refusal(&self) -> Option<WriteRefusal> {
        if self.0.contains(READ_ONLY_SINCE) {
            Some(WriteRefusal::ReadOnly)
        } else {
            self.0.contains(DISK_FULL).then_some(WriteRefusal::DiskFull)
        }
    }

    /// Returns the folder, and since when its file system was seen to be read-only, where that is the reason.
    #[must_use]
    pub fn read_only_folder_and_since(&self) -> Option<(&str, Time)> {
        let (folder, rest) = self.0.split_once(READ_ONLY_SINCE)?;
        let (since, _) = rest.split_once(';')?;
        Some((folder.trim_end_matches(": "), since.parse().ok()?))
    }

    /// Returns the error of a file that a read-only file system did not take.
    #[must_use]
    pub fn file_on_read_only(path: &Path) -> Self {
        Self::read_only(path, clock::wall_time())
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{StoreError, WriteRefusal};
    use crate::model::time::Time;

    #[test]
    fn a_refusal_says_its_reason_and_since_when() {
        let folder = Path::new("/store");
        let read_only = StoreError::read_only(folder, Time::EPOCH);
        assert_eq!(read_only.write_refusal(), Some(WriteRefusal::ReadOnly));
        assert_eq!(read_only.read_only_folder_and_since(), Some(("/store", Time::EPOCH)));
        let full = StoreError::disk_full(folder, 1);
        assert_eq!((full.write_refusal(), full.read_only_folder_and_since()), (Some(WriteRefusal::DiskFull), None));
        assert_eq!(StoreError("a bit is wrong".to_owned()).write_refusal(), None);
    }
}
