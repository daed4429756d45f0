//! The files of a sled database, synced as sled itself does not.
//!
//! ```text
//! db       the log; sled starts the writing of what it appends and waits for it, but never syncs the length of the file
//! blobs/   one file for each large value, as a commit of the journal may be: written once, and never synced by sled
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The files of one open database.
pub struct DatabaseFiles {
    log: File,
    blobs: PathBuf,
    /// Large values that were synced, or were there before the database was opened.
    synced: Mutex<BTreeSet<OsString>>,
}

impl DatabaseFiles {
    /// Opens the files of the database in this folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let blobs = folder.join("blobs");
        let synced = Mutex::new(names_in(&blobs)?);
        Ok(Self { log: File::open(folder.join("db"))?, blobs, synced })
    }

    /// Returns once all that sled has written is on disk, also after a power failure. Blocks.
    pub fn sync(&self) -> io::Result<()> {
        self.log.sync_data()?;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let present = names_in(&self.blobs)?;
        let mut is_new = false;
        for name in present.difference(&synced) {
            match File::open(self.blobs.join(name)).and_then(|blob| blob.sync_data()) {
                // sled removes a value that was replaced.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
            is_new = true;
        }
        if is_new {
            File::open(&self.blobs)?.sync_all()?;
        }
        *synced = present;
        Ok(())
    }
}

fn names_in(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{DatabaseFiles, names_in};

    #[test]
    fn what_is_new_is_synced_and_what_was_removed_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs");
        fs::write(folder.path().join("db"), "log").unwrap();
        let files = DatabaseFiles::open(folder.path()).unwrap();
        files.sync().unwrap();
        fs::create_dir(&blobs).unwrap();
        for name in ["1", "2"] {
            fs::write(blobs.join(name), "large").unwrap();
        }
        files.sync().unwrap();
        assert_eq!(*files.synced.lock().unwrap(), names_in(&blobs).unwrap());
        fs::remove_file(blobs.join("1")).unwrap();
        files.sync().unwrap();
        assert_eq!(files.synced.lock().unwrap().len(), 1);
    }
}
