//! Small files that are replaced as a whole: written under another name, synced, renamed, the folder synced. Mode 0600.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::store::files::folder::{FileError, parent_of, sync_folder};

/// The longest file that is read, in bytes: what we write is far shorter.
const MAX_FILE_BYTES: u64 = 4096;

/// Replaces the file's content. After an error or a crash the file has the old content or the new, never a part of it.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let temporary = temporary_path(path);
    write_new(&temporary, content).map_err(|error| {
        // On a full disk the half-written file would keep what room there is.
        let _ = fs::remove_file(&temporary);
        FileError::io(&temporary)(error)
    })?;
    fs::rename(&temporary, path).map_err(FileError::io(path))?;
    sync_folder(parent_of(path))
}

/// Reads the file's text; `None` if there is no file. Text that is too long or not UTF-8 is an error of kind `InvalidData`.
pub fn read(path: &Path) -> Result<Option<String>, FileError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)) {
        Ok(length) if length as u64 > MAX_FILE_BYTES => {
            Err(FileError::io(path)(io::Error::new(ErrorKind::InvalidData, "longer than we write it")))
        }
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io(path)(error)),
    }
}

/// Removes the file if it exists, and syncs the folder.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(parent_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FileError::io(path)(error)),
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // A crash leaves its half-written file behind; one with `create_new` would then never succeed again.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::{read, remove, replace};

    #[test]
    fn a_file_is_replaced_whole_even_after_a_crash_in_the_middle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CURRENT");
        assert_eq!(read(&path).unwrap(), None);
        replace(&path, b"1\n").unwrap();
        fs::write(folder.path().join("CURRENT.new"), "half of something lon").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("1\n"));
        replace(&path, b"2\n").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("2\n"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }

    #[test]
    fn content_that_we_cannot_have_written_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CURRENT");
        for content in [vec![b'1'; 5000], vec![0xff]] {
            fs::write(&path, content).unwrap();
            assert!(read(&path).unwrap_err().to_string().starts_with(&*path.to_string_lossy()));
        }
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("CURRENT");
        replace(&path, b"1\n").unwrap();
        fs::create_dir(folder.path().join("CURRENT.new")).unwrap();
        let message = replace(&path, b"2\n").unwrap_err().to_string();
        assert!(message.contains("CURRENT.new"), "{message}");
        assert_eq!(read(&path).unwrap().as_deref(), Some("1\n"));
    }
}
