//! The folder of a store: ours alone, or refused.
//!
//! A folder is refused if somebody else could change the data in it: one of another owner, one that group or others may write, a
//! symlink. Folders are made with mode 0700, so their content is closed to others whatever mode a library gives its files.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::store::error::StoreError;

/// Returns whether the error says that the disk or the quota is full.
pub fn is_storage_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Why a folder or file is refused. The text contains the remedy.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It has another owner, is writable for others, a symlink, or not a directory.
    #[error("{path}: {reason}")]
    Invalid {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// The system returned an error.
    #[error("{path}: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

impl FileError {
    /// Refuses `path` for a reason, which should contain the remedy.
    pub fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), reason: reason.into() }
    }

    /// Adds the path to an error of the system.
    pub fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { path, source } if is_storage_full(source) => Self::file_on_full_disk(path, source),
            FileError::Io { path, source } if source.kind() == ErrorKind::ReadOnlyFilesystem => Self::file_on_read_only(path),
            _ => Self(error.to_string()),
        }
    }
}

/// Creates the folder with mode 0700 if it does not exist; checks owner, mode and that it is no symlink.
pub fn ensure_private(path: &Path) -> Result<(), FileError> {
    if fs::symlink_metadata(path).is_err() {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(FileError::io(path))?;
        sync_folder(parent_of(path))?;
    }
    check_private(path)
}

/// Checks owner and mode of an existing folder and that it is no symlink, and changes nothing.
pub fn check_private(path: &Path) -> Result<(), FileError> {
    // With a slash at its end the system would follow the symlink that is to be refused.
    let bare: PathBuf = path.components().collect();
    let metadata = fs::symlink_metadata(bare).map_err(FileError::io(path))?;
    match rejection_reason(path, &metadata, geteuid().as_raw()) {
        Some(reason) => Err(FileError::invalid(path, reason)),
        None => Ok(()),
    }
}

fn rejection_reason(path: &Path, metadata: &Metadata, our_uid: u32) -> Option<String> {
    let path_text = path.display();
    let mode = metadata.mode() & 0o7777;
    if metadata.is_symlink() {
        return Some("this is a symlink; name the folder itself".to_owned());
    }
    if !metadata.is_dir() {
        return Some("this is not a directory; move it away, or name another folder".to_owned());
    }
    if metadata.uid() != our_uid {
        let owner = metadata.uid();
        return Some(format!("uid {owner} owns this, and we are uid {our_uid}; run as its owner, or `chown -R {our_uid} {path_text}`"));
    }
    if mode & 0o022 != 0 {
        return Some(format!("mode {mode:04o} lets group or others write; `chmod 0700 {path_text}`"));
    }
    None
}

/// Returns the folder that a file or folder is in, also for a bare name.
pub fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes a folder with all that is in it, if it exists.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FileError::io(path)(error)),
        _ => Ok(()),
    }
}

/// Syncs a folder: the names in it are on disk when this returns.
pub fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::io(path))
}

/// Syncs everything in a folder, at every depth. sled does not sync the folders that it makes.
pub fn sync_tree(path: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(path).map_err(FileError::io(path))? {
        let entry = entry.map_err(FileError::io(path))?;
        let inner = entry.path();
        let file_type = entry.file_type().map_err(FileError::io(&inner))?;
        if file_type.is_dir() {
            sync_tree(&inner)?;
        } else if file_type.is_file() {
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
            let message = refusal(base.path());
            assert!(message.starts_with(&*base.path().to_string_lossy()), "{message}");
            assert!(message.contains(&format!("{mode:04o}")) && message.contains("chmod 0700"), "{message}");
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
            let message = refusal(&path);
            assert!(message.starts_with(&*path.to_string_lossy()) && message.contains(remedy), "{message}");
        }
        assert!(!base.path().join("nowhere").exists());
    }

    #[test]
    fn another_owner_is_refused_with_both_numbers_and_the_remedy() {
        let base = tempfile::tempdir().unwrap();
        let our_uid = geteuid().as_raw();
        let message = rejection_reason(base.path(), &fs::metadata(base.path()).unwrap(), our_uid + 1).unwrap();
        for part in
            [format!("uid {our_uid} owns"), format!("we are uid {}", our_uid + 1), "chown".to_owned(), base.path().display().to_string()]
        {
            assert!(message.contains(&part), "{message}");
        }
    }

    #[test]
    fn checking_creates_nothing() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("store");
        let message = check_private(&path).unwrap_err().to_string();
        assert!(message.starts_with(&*path.to_string_lossy()) && message.contains("No such file"), "{message}");
        assert!(!path.exists());
    }
}
