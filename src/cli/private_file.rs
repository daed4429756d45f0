//! A file that a command writes for its owner alone: mode 0600 from its first byte, and in its place only once it is whole.
//!
//! Where the file system can, it has no name until then, so that a command that is killed leaves nothing. Otherwise it is `.sidegate-…` beside
//! its target, which a `kill -9` leaves behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::unistd::linkat;
use tempfile::NamedTempFile;

use crate::store::files::folder::{FileError, parent_of, sync_folder};

/// What the name of a file begins with that is not in its place yet.
const TEMPORARY_PREFIX: &str = ".sidegate-";

/// A file that is being written, and that will replace another. Dropped before, it leaves nothing.
pub struct PrivateFile {
    target: PathBuf,
    temporary: Temporary,
}

enum Temporary {
    /// Without a name.
    Unnamed(File),
    /// Beside its target.
    Named(NamedTempFile),
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
        let folder = parent_of(target);
        let temporary = match create_unnamed(folder) {
            Ok(file) => Temporary::Unnamed(file),
            // Made with mode 0600, and never through a link that somebody put there.
            Err(_) => Temporary::Named(temporary_names().tempfile_in(folder).map_err(FileError::io(target))?),
        };
        Ok(Self { target: target.to_owned(), temporary })
    }

    /// Opens what was written so far, from its beginning.
    pub fn reopen(&self) -> io::Result<File> {
        match &self.temporary {
            Temporary::Unnamed(file) => File::open(path_of_descriptor(file)),
            Temporary::Named(file) => file.reopen(),
        }
    }

    /// Puts what was written on disk, and then in the place of the target.
    pub fn replace_target(self) -> Result<(), FileError> {
        let Self { target, temporary } = self;
        let folder = parent_of(&target);
        match temporary {
            Temporary::Unnamed(file) => {
                file.sync_all().map_err(FileError::io(&target))?;
                // A file that exists is replaced by a rename alone, so the whole file has a name of its own for that moment.
                let unnamed = path_of_descriptor(&file);
                let link = |path: &Path| -> io::Result<()> {
                    Ok(linkat(AT_FDCWD, unnamed.as_path(), AT_FDCWD, path, AtFlags::AT_SYMLINK_FOLLOW)?)
                };
                let named = temporary_names().make_in(folder, link).map_err(FileError::io(&target))?;
                named.persist(&target).map_err(|error| FileError::io(&target)(error.error))?;
            }
            Temporary::Named(file) => {
                file.as_file().sync_all().map_err(FileError::io(&target))?;
                let _written: File = file.persist(&target).map_err(|error| FileError::io(&target)(error.error))?;
            }
        }
        sync_folder(folder)
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.temporary {
            Temporary::Unnamed(file) => file.write(bytes),
            Temporary::Named(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.temporary {
            Temporary::Unnamed(file) => file.flush(),
            Temporary::Named(file) => file.flush(),
        }
    }
}

/// Creates a file without a name, to which [`path_of_descriptor`] leads. Fails where the file system has none.
fn create_unnamed(folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(OFlag::O_TMPFILE.bits()).open(folder)?;
    fs::symlink_metadata(path_of_descriptor(&file))?;
    Ok(file)
}

fn path_of_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn temporary_names() -> tempfile::Builder<'static, 'static> {
    let mut names = tempfile::Builder::new();
    names.prefix(TEMPORARY_PREFIX);
    names
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::{PrivateFile, Temporary, temporary_names};

    #[test]
    fn it_is_whole_and_private_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.jsonl");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut given_up = PrivateFile::create(&path).unwrap();
        given_up.write_all(b"half").unwrap();
        assert_eq!(given_up.reopen().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
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
    fn one_whose_writer_is_killed_is_not_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("primary.backup");
        let mut file = PrivateFile::create(&path).unwrap();
        file.write_all(b"every secret").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a file system of tests has files without a name");
        file.replace_target().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), fs::read_dir(folder.path()).unwrap().count()), (&b"every secret"[..], 1));
    }

    #[test]
    fn one_with_a_name_does_the_same_where_a_file_system_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("primary.backup");
        let temporary = Temporary::Named(temporary_names().tempfile_in(folder.path()).unwrap());
        let mut file = PrivateFile { target: path.clone(), temporary };
        file.write_all(b"whole").unwrap();
        assert_eq!(file.reopen().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        file.replace_target().unwrap();
        assert_eq!((fs::read(&path).unwrap().as_slice(), fs::read_dir(folder.path()).unwrap().count()), (&b"whole"[..], 1));
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
