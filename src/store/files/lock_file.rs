//! The file that keeps a second process out of a store: locked by the one that may write there; holds its process id, for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::store::files::folder::{FileError, is_storage_full};

const READ_ONLY_REMEDY: &str = "this file system is read-only, and nothing of the store is lost by it; mount it writable (the kernel's log says why it is not), and start again";

/// Locks the file, until what is returned is dropped. Refused with the holder's process id if another process has it.
pub fn acquire_lock(path: &Path) -> Result<File, FileError> {
    let io = || FileError::io(path);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => FileError::invalid(path, READ_ONLY_REMEDY),
        _ => io()(error),
    })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unreadable = (&file).take(20).read_to_string(&mut holder);
            let reason = format!("process {} uses this store; stop it, or give each daemon a [store] path of its own", holder.trim_end());
            return Err(FileError::invalid(path, reason));
        }
        Err(TryLockError::Error(error)) => return Err(io()(error)),
    }
    // The lock is what counts; the process id is for people, and left out on a disk that takes no writes.
    match file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
        Err(error) if !is_storage_full(&error) && error.kind() != ErrorKind::ReadOnlyFilesystem => Err(io()(error)),
        Ok(()) | Err(_) => Ok(file),
    }
}
