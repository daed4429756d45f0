//! The file that keeps a second process out of a store: locked by the one that may write there; holds its process id, for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::store::files::folder::{FileError, is_storage_full};

const READ_ONLY_REMEDY: &str = "this file system is read-only, and nothing of the store is lost by it; mount it writable (the kernel's log says why it is not), and start again";

/// How often, and after what pause, a lock that another process has is tried again: between fork and exec a child process has our descriptors,
/// and with them the lock of a store that was closed a moment ago.
const ATTEMPTS: usize = 200;
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// Locks the file, until what is returned is dropped. Refused with the holder's process id if another process has it, and keeps it for a second.
/// Blocks.
pub fn acquire_lock(path: &Path) -> Result<File, FileError> {
    let io = || FileError::io(path);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        ErrorKind::ReadOnlyFilesystem => FileError::invalid(path, READ_ONLY_REMEDY),
        _ => io()(error),
    })?;
    match try_lock(&file) {
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

fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 1..ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY_INTERVAL),
            settled => return settled,
        }
    }
    file.try_lock()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::acquire_lock;

    #[test]
    fn a_lock_that_is_released_a_moment_later_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LOCK");
        let holder = acquire_lock(&path).unwrap();
        let (sender, receiver) = channel();
        let releasing = std::thread::spawn(move || {
            receiver.recv().unwrap();
            drop(holder);
        });
        sender.send(()).unwrap();
        acquire_lock(&path).unwrap();
        releasing.join().unwrap();
    }

    #[test]
    fn who_keeps_a_lock_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LOCK");
        let _holder = acquire_lock(&path).unwrap();
        let refused = acquire_lock(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {} uses this store", std::process::id())), "{refused}");
    }
}
