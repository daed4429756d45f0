//! Disk space that a database reserves for its own next opening.
//!
//! sled writes a snapshot of its page table when it is opened after changes, and does not open if there is no room for it: on a full
//! disk, a restart would cost a sound store. So each database has a file `reserve` of that size, which is removed when the space is
//! needed. What a write needs is not reserved but looked for before it begins: see [`check_free`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::store::files::folder::is_storage_full;

/// The least that is reserved, in bytes: more than the snapshot of a hundred thousand keys.
const MIN_RESERVED_BYTES: u64 = 1 << 20;
/// The most that is allocated to find out whether there is room, in bytes. Beyond it the figure of the file system counts.
const MAX_PROBE_BYTES: u64 = 2 << 20;

/// Reserves what the next opening may need: twice the newest snapshot, and `MIN_RESERVED_BYTES`. Fails if there is no room for it.
pub fn reserve(folder: &Path) -> io::Result<()> {
    let (path, bytes) = (reserve_path(folder), MIN_RESERVED_BYTES + 2 * newest_snapshot_bytes(folder)?);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    if file.metadata()?.len() >= bytes {
        return Ok(());
    }
    allocate(&file, bytes).inspect_err(|_| {
        let _half = fs::remove_file(&path);
    })
}

/// Frees the reserved space; returns whether there was any.
pub fn release(folder: &Path) -> io::Result<bool> {
    match fs::remove_file(reserve_path(folder)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether the disk has no room left besides what is reserved. Tried with a file without a name, which no crash leaves behind.
pub fn is_disk_full(folder: &Path) -> bool {
    let tried = tempfile::tempfile_in(folder).and_then(|probe| allocate(&probe, MIN_RESERVED_BYTES));
    tried.is_err_and(|error| is_storage_full(&error))
}

/// Fails with an error of [`is_storage_full`] if the disk has less than `bytes` free. Costs one call of the system, and writes nothing.
pub fn check_reported_free(folder: &Path, bytes: u64) -> io::Result<()> {
    let disk = statvfs(folder)?;
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if free < bytes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

/// As [`check_reported_free`], and allocates some of it for a moment: a quota, or a disk without inodes, shows only then.
pub fn check_free(folder: &Path, bytes: u64) -> io::Result<()> {
    check_reported_free(folder, bytes)?;
    tempfile::tempfile_in(folder).and_then(|probe| allocate(&probe, bytes.clamp(1, MAX_PROBE_BYTES)))
}

/// Returns the remedy for a database that does not open: on a full disk to make room, otherwise `otherwise`.
pub fn remedy<'a>(folder: &Path, otherwise: &'a str) -> &'a str {
    if is_disk_full(folder) { "this disk is full: make room and start again" } else { otherwise }
}

fn reserve_path(folder: &Path) -> PathBuf {
    folder.join("reserve")
}

fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    posix_fallocate(file, 0, i64::try_from(bytes).unwrap_or(i64::MAX)).map_err(io::Error::from)
}

fn newest_snapshot_bytes(folder: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            // sled removes an older one by itself.
            newest = newest.max(entry.metadata().map_or(0, |metadata| metadata.len()));
        }
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::{MIN_RESERVED_BYTES, check_free, is_disk_full, release, reserve};
    use crate::store::files::folder::is_storage_full;

    #[test]
    fn more_than_the_disk_has_is_not_free_and_nothing_is_left_of_the_question() {
        let folder = tempfile::tempdir().unwrap();
        check_free(folder.path(), 1).unwrap();
        assert!(is_storage_full(&check_free(folder.path(), u64::MAX).unwrap_err()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_reserve_occupies_disk_space_grows_with_the_snapshot_and_is_released_once() {
        let folder = tempfile::tempdir().unwrap();
        let reserved = || fs::metadata(folder.path().join("reserve")).unwrap();
        reserve(folder.path()).unwrap();
        assert_eq!(reserved().len(), MIN_RESERVED_BYTES);
        assert!(reserved().blocks() * 512 >= MIN_RESERVED_BYTES, "a hole keeps no room");
        fs::write(folder.path().join("snap.0000000000000001"), vec![1; 3 << 20]).unwrap();
        reserve(folder.path()).unwrap();
        assert_eq!(reserved().len(), MIN_RESERVED_BYTES + (6 << 20));
        assert!(release(folder.path()).unwrap());
        assert!(!release(folder.path()).unwrap());
        assert!(!is_disk_full(folder.path()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the snapshot");
    }
}
