//! A small file beside the generations: this store drifted from what the primary said at its cursor.
//!
//! Without it the next start would show its own drift to the primary, get 409, and take the primary for one that was restored
//! from a backup. The file holds the head that the primary gave, so that the feed goes on from there until a snapshot has come.

use std::path::{Path, PathBuf};

use crate::model::change::Head;
use crate::store::files::atomic_file;
use crate::store::files::folder::FileError;

/// The marker of one store.
#[derive(Clone, Debug)]
pub struct DriftMarker {
    path: PathBuf,
}

impl DriftMarker {
    /// The marker of the store in `folder`.
    #[must_use]
    pub fn in_store(folder: &Path) -> Self {
        Self { path: folder.join("drifted") }
    }

    /// Returns the head that the primary gave where the store drifted; `None` if it did not, or the file is damaged.
    #[must_use]
    pub fn read(&self) -> Option<Head> {
        serde_json::from_str(&atomic_file::read(&self.path).ok()??).ok()
    }

    /// Marks the store as drifted at a head of the primary.
    pub fn write(&self, claimed: Head) -> Result<(), FileError> {
        let text = serde_json::to_vec(&claimed).map_err(|error| FileError::io(&self.path)(error.into()))?;
        atomic_file::replace(&self.path, &text)
    }

    /// Removes the mark, if there is one.
    pub fn clear(&self) -> Result<(), FileError> {
        atomic_file::remove(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::DriftMarker;
    use crate::model::change::{Epoch, Head};
    use crate::model::digest::DirectoryDigest;

    #[test]
    fn a_marker_is_read_as_it_was_written_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let marker = DriftMarker::in_store(folder.path());
        let head = Head { epoch: Epoch(3), seq: 4, state: DirectoryDigest::default().with_record(b"x") };
        assert_eq!(marker.read(), None);
        marker.write(head).unwrap();
        assert_eq!(marker.read(), Some(head));
        marker.clear().unwrap();
        marker.clear().unwrap();
        assert_eq!(marker.read(), None);
    }
}
