//! A file that a command writes for its owner alone: mode 0600 from its first byte, and in its place only once it is whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::store::files::folder::{FileError, parent_of, sync_folder};

/// A file that is being written under another name, beside the one that it will replace. Dropped before, it leaves nothing.
pub struct PrivateFile {
    target: PathBuf,
    temporary: NamedTempFile,
}

impl PrivateFile {
    /// Begins to write. Refuses a target that is a symlink, which may lead anywhere, or anything else but a file.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        match fs::symlink_metadata(target) {
            Ok(found) if found.is_symlink() => return Err(FileError::invalid(target, "this is a symlink; name the file itself")),
            Ok(found) if !found.is_file() => return Err(FileError::invalid(target, "this is not a file; name another")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(FileError::io(target)(error)),
        }
        // Made with mode 0600, and never through a link that somebody put there.
        let temporary = tempfile::Builder::new().prefix(".sidegate-").tempfile_in(parent_of(target)).map_err(FileError::io(target))?;
        Ok(Self { target: target.to_owned(), temporary })
    }

    /// Opens what was written so far, from its beginning.
    pub fn reopen(&self) -> io::Result<File> {
        self.temporary.reopen()
    }

    /// Puts what was written on disk, and then in the place of the target.
    pub fn replace_target(self) -> Result<(), FileError> {
        self.temporary.as_file().sync_all().map_err(FileError::io(&self.target))?;
        let _written: File = self.temporary.persist(&self.target).map_err(|error| FileError::io(&self.target)(error.error))?;
        sync_folder(parent_of(&self.target))
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.temporary.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::PrivateFile;

    #[test]
    fn it_is_whole_and_private_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut given_up = PrivateFile::create(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        let modes = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777);
        assert!(modes.into_iter().any(|mode| mode == 0o600));
        drop(given_up);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), fs::read_dir(folder.path()).unwrap().count()), ("old", 1));
        let mut file = PrivateFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.replace_target().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_not_followed_and_a_folder_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        assert!(PrivateFile::create(&link).err().unwrap().to_string().contains("symlink"));
        assert!(PrivateFile::create(folder.path()).err().unwrap().to_string().contains("not a file"));
        assert!(PrivateFile::create(&folder.path().join("none/file")).is_err());
        // A link that is put there meanwhile is replaced itself.
        let fresh = folder.path().join("fresh");
        let mut file = PrivateFile::create(&fresh).unwrap();
        symlink(&target, &fresh).unwrap();
        file.write_all(b"export").unwrap();
        file.replace_target().unwrap();
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), fs::read_to_string(&fresh).unwrap().as_str()), ("precious", "export"));
        assert!(!fs::symlink_metadata(&fresh).unwrap().is_symlink());
    }
}
