//! The folder a store lives in: ours alone, or refused.
//!
//! What is refused is what would let somebody else put words into our mouth: a folder of another owner, one that group or others may
//! write, a symlink. Folders are made 0700, so what lies in one we made is closed to others whatever mode a library gives its files.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::store::error::StoreError;

/// Whether the system said that there is no room for it.
pub fn is_storage_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Why a folder or file is refused. Each says the remedy.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Of another owner, writable for others, a symlink, not a directory.
    #[error("{path}: {reason}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    /// What `path` was refused for, with the remedy.
    pub fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), reason: reason.into() }
    }

    /// Puts the path to what the system said.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        Self(error.to_string())
    }
}

/// Makes the folder (0700) if it is not there; checks owner, mode, symlink.
pub fn ensure_private(path: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(path).is_err() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io(path))?;
        sync_folder(parent_of(path))?;
    }
    check_private(path)
}

/// Checks owner, mode and symlink of a folder that is there, and changes nothing.
pub fn check_private(path: &Path) -> Result<(), FileError> {
    // With a slash at its end the system would follow the symlink that is to be refused.
    let bare: PathBuf = path.components().collect();
    let metadata = fs::symlink_metadata(bare).map_err(FileError::io(path))?;
    match rejection_reason(path, &metadata, geteuid().as_raw()) {
        Some(reason) => Err(FileError::invalid(path, reason)),
        None => Ok(()),
    }
}

fn rejection_reason(path: &Path, metadata: &Metadata, own: u32) -> Option<String> {
    let shown = path.display();
    let mode = metadata.mode() & 0o7777;
    if metadata.is_symlink() {
        return Some("this is a symlink; name the folder itself".to_owned());
    }
    if !metadata.is_dir() {
        return Some("this is not a directory; move it away, or name another folder".to_owned());
    }
    if metadata.uid() != own {
        let owner = metadata.uid();
        return Some(format!("uid {owner} owns this, and we are uid {own}; run as its owner, or `chown -R {own} {shown}`"));
    }
    if mode & 0o022 != 0 {
        return Some(format!("mode {mode:04o} lets group or others write; `chmod 0700 {shown}`"));
    }
    None
}

/// The folder that a file or folder is in, also for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The names in a folder are on disk when this returns.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::io(path))
}

/// Everything in a folder, at every depth, is on disk when this returns. sled does not sync the folders that it makes.
pub fn sync_tree(path: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(path).map_err(FileError::io(path))? {
        let entry = entry.map_err(FileError::io(path))?;
        let inner = entry.path();
        let kind = entry.file_type().map_err(FileError::io(&inner))?;
        if kind.is_dir() {
            sync_tree(&inner)?;
        } else if kind.is_file() {
            File::open(&inner).and_then(|file| file.sync_all()).map_err(FileError::io(&inner))?;
        }
    }
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use nix::unistd::geteuid;

    use super::{check_private, ensure_private, rejection_reason, sync_tree};

    fn refusal(path: &Path) -> String {
        ensure_private(path).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_folder_is_made_for_us_alone() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("deep/store");
        ensure_private(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o700, geteuid().as_raw()));
        ensure_private(&path).unwrap();
        sync_tree(base.path()).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_with_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        for mode in [0o770, 0o702, 0o777, 0o1777] {
            fs::set_permissions(base.path(), fs::Permissions::from_mode(mode)).unwrap();
            let said = refusal(base.path());
            assert!(said.starts_with(&*base.path().to_string_lossy()), "{said}");
            assert!(said.contains(&format!("{mode:04o}")) && said.contains("chmod 0700"), "{said}");
        }
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        ensure_private(base.path()).unwrap();
    }

    #[test]
    fn a_symlink_and_a_file_are_refused_with_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        let (link, dangling, file) = (base.path().join("link"), base.path().join("dangling"), base.path().join("file"));
        symlink(base.path(), &link).unwrap();
        let slashed = base.path().join("link/");
        symlink(base.path().join("nowhere"), &dangling).unwrap();
        fs::write(&file, "").unwrap();
        for (path, remedy) in [
            (link, "name the folder itself"),
            (slashed, "name the folder itself"),
            (dangling, "name the folder itself"),
            (file, "name another folder"),
        ] {
            let said = refusal(&path);
            assert!(said.starts_with(&*path.to_string_lossy()) && said.contains(remedy), "{said}");
        }
        assert!(!base.path().join("nowhere").exists());
    }

    #[test]
    fn another_owner_is_refused_with_both_numbers_and_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        let own = geteuid().as_raw();
        let said = rejection_reason(base.path(), &fs::metadata(base.path()).unwrap(), own + 1).unwrap();
        for part in [format!("uid {own} owns"), format!("we are uid {}", own + 1), "chown".to_owned(), base.path().display().to_string()] {
            assert!(said.contains(&part), "{said}");
        }
    }

    #[test]
    fn inspecting_makes_nothing() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        let said = check_private(&path).unwrap_err().to_string();
        assert!(said.starts_with(&*path.to_string_lossy()) && said.contains("No such file"), "{said}");
        assert!(!path.exists());
    }
}
