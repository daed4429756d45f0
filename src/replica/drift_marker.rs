//! A small file beside the generations: this store drifted from what the primary said at its cursor.
//!
//! Without it the next start would show its own drift to the primary, get 409, and take the primary for one that was restored
//! from a backup. The file holds the head that the primary gave, so that the feed goes on from there until a snapshot has come.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::model::change::Head;

/// Where the mark stands.
#[derive(Clone, Debug)]
pub struct DriftMarker(PathBuf);

impl DriftMarker {
    /// In the folder of a store.
    #[must_use]
    pub fn in_store(store: &Path) -> Self {
        Self(store.join("drifted"))
    }

    /// What the primary said where the store drifted; `None` if it did not, or the file is damaged.
    #[must_use]
    pub fn read(&self) -> Option<Head> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    /// Sets the mark: beside, synced, renamed.
    pub fn write(&self, claimed: Head) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let beside = self.0.with_extension("new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&serde_json::to_vec(&claimed)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.0)
    }

    /// Takes the mark away.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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
        let mark = DriftMarker::in_store(folder.path());
        let head = Head { epoch: Epoch(3), seq: 4, state: DirectoryDigest::default().with_record(b"x") };
        assert_eq!(mark.read(), None);
        mark.write(head).unwrap();
        assert_eq!(mark.read(), Some(head));
        mark.clear().unwrap();
        mark.clear().unwrap();
        assert_eq!(mark.read(), None);
    }
}
