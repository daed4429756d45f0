//! Disk space that a database reserves for its own next opening.
//!
//! sled writes a snapshot of its page table when it is opened after changes, and does not open if there is no room for it: on a full
//! disk, a restart would cost a sound store. So each database has a file `reserve` of that size, which is removed when the space is
//! needed. What a write needs is promised to it before it begins, and to no other: see [`promise`].

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::store::files::folder::is_storage_full;

/// What must be free for any write, in bytes: a few of sled's segments of 512 KiB, which it fills one after the other.
pub const WRITE_HEADROOM: u64 = 2 << 20;
/// The least that is reserved, in bytes: more than the snapshot of a hundred thousand keys.
const MIN_RESERVED_BYTES: u64 = 1 << 20;
/// The most that is allocated to find out whether there is room, in bytes. Beyond it the figure of the file system counts.
const MAX_PROBE_BYTES: u64 = 2 << 20;

/// Reserves what the next opening may need. Fails if there is no room for it.
pub fn reserve(folder: &Path) -> io::Result<()> {
    let (path, bytes) = (reserve_path(folder), bytes_of_reserve(folder)?);
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

/// Returns whether the disk has not the room that opening a database may take, besides what is reserved for it. Tried with a file without a
/// name, which no crash leaves behind.
pub fn is_disk_full(folder: &Path) -> bool {
    let needed = bytes_of_reserve(folder).unwrap_or(MIN_RESERVED_BYTES);
    let tried = tempfile::tempfile_in(folder).and_then(|probe| allocate(&probe, needed));
    tried.is_err_and(|error| is_storage_full(&error))
}

/// Room on a disk that one write was promised. Nobody else is, and no probe takes it, until this is dropped.
#[derive(Debug)]
pub struct PromisedRoom {
    device: u64,
    bytes: u64,
}

/// What writes under way were promised, in bytes, by the device of their disk. The stores of a process share their disks.
static PROMISED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());

/// Promises a write its room. Fails with an error of [`is_storage_full`] if the disk has less than `bytes` free besides what other writes
/// were promised, and with [`io::ErrorKind::ReadOnlyFilesystem`] if it takes no writes. Allocates some of the promised room for a moment: a
/// quota, a disk without inodes, or one that the kernel has closed to writes shows only then.
pub fn promise(folder: &Path, bytes: u64) -> io::Result<PromisedRoom> {
    let room = PromisedRoom::take(folder, bytes)?;
    probe(folder, bytes)?;
    Ok(room)
}

/// As [`promise`], for whoever only looks: room that a write under way was promised counts as free, and is left alone.
pub fn look(folder: &Path, bytes: u64) -> io::Result<()> {
    match PromisedRoom::take(folder, bytes) {
        Ok(_room) => probe(folder, bytes),
        Err(error) if is_storage_full(&error) => check_reported_free(folder, bytes),
        Err(error) => Err(error),
    }
}

/// As [`look`], with one call of the system, and without writing anything.
pub fn check_reported_free(folder: &Path, bytes: u64) -> io::Result<()> {
    if reported_free(folder)? < bytes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
}

impl PromisedRoom {
    fn take(folder: &Path, bytes: u64) -> io::Result<Self> {
        let device = fs::metadata(folder)?.dev();
        let mut promised = lock_promised();
        let of_others = promised.get(&device).copied().unwrap_or_default();
        check_reported_free(folder, bytes.saturating_add(of_others))?;
        promised.insert(device, of_others.saturating_add(bytes));
        Ok(Self { device, bytes })
    }
}

impl Drop for PromisedRoom {
    fn drop(&mut self) {
        give_back(self.device, self.bytes);
    }
}

fn give_back(device: u64, bytes: u64) {
    let mut promised = lock_promised();
    let left = promised.get(&device).map_or(0, |promised| promised.saturating_sub(bytes));
    if left == 0 {
        promised.remove(&device);
    } else {
        promised.insert(device, left);
    }
}

fn lock_promised() -> MutexGuard<'static, BTreeMap<u64, u64>> {
    PROMISED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn probe(folder: &Path, bytes: u64) -> io::Result<()> {
    tempfile::tempfile_in(folder).and_then(|file| allocate(&file, bytes.clamp(1, MAX_PROBE_BYTES)))
}

fn reported_free(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    if disk.flags().contains(FsFlags::ST_RDONLY) {
        return Err(io::ErrorKind::ReadOnlyFilesystem.into());
    }
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Returns how many bytes the disk of a folder has free, as it says; `None` if it does not say. Blocks.
#[must_use]
pub fn free_bytes(folder: &Path) -> Option<u64> {
    statvfs(folder).ok().map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()))
}

/// Returns the remedy for a database that does not open for this reason: on a full disk to make room, on a read-only file system to mount it
/// writable, otherwise `otherwise`.
pub fn remedy<'a>(folder: &Path, reason: &str, otherwise: &'a str) -> &'a str {
    if is_of_read_only(reason) {
        "this file system is read-only: mount it writable and start again; nothing of the store is lost by it"
    } else if is_of_full_disk(reason) || is_disk_full(folder) {
        "this disk is full: make room and start again"
    } else {
        otherwise
    }
}

/// Returns whether the text of an error of the database says that the disk or the quota is full.
pub fn is_of_full_disk(reason: &str) -> bool {
    has_error_number(reason, &[Errno::ENOSPC, Errno::EDQUOT])
}

/// Returns whether the text of an error of the database says that the file system takes no writes.
pub fn is_of_read_only(reason: &str) -> bool {
    has_error_number(reason, &[Errno::EROFS])
}

/// The database hands on the errors of the system as the standard library prints them.
fn has_error_number(reason: &str, numbers: &[Errno]) -> bool {
    numbers.iter().any(|number| reason.contains(&format!("(os error {})", *number as i32)))
}

/// Returns what the next opening may need: twice the newest snapshot, and `MIN_RESERVED_BYTES`.
fn bytes_of_reserve(folder: &Path) -> io::Result<u64> {
    Ok(MIN_RESERVED_BYTES + 2 * newest_snapshot_bytes(folder)?)
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

    use super::{MIN_RESERVED_BYTES, PromisedRoom, is_disk_full, look, promise, release, remedy, reserve};
    use crate::store::files::folder::is_storage_full;
    use crate::store::tests::small_disk::SmallDisk;

    #[test]
    fn more_than_the_disk_has_is_not_free_and_nothing_is_left_of_the_question() {
        let folder = tempfile::tempdir().unwrap();
        drop(promise(folder.path(), 1).unwrap());
        assert!(is_storage_full(&promise(folder.path(), u64::MAX).unwrap_err()));
        assert!(is_storage_full(&look(folder.path(), u64::MAX).unwrap_err()));
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

    #[test]
    fn what_one_write_was_promised_is_neither_promised_to_another_nor_taken_by_a_probe() {
        let folder = tempfile::tempdir().unwrap();
        let Some(_disk) = SmallDisk::mount(folder.path(), 5 << 10) else { return };
        let write = 3 << 20;
        let first = promise(folder.path(), write).unwrap();
        assert!(is_storage_full(&promise(folder.path(), write).unwrap_err()), "3 MiB beside 3 of 5 MiB");
        fs::write(folder.path().join("filler"), vec![1; 2 << 20]).unwrap();
        // A look gets no room to try with here, and tells by the figures alone.
        assert!(PromisedRoom::take(folder.path(), 1).is_err());
        look(folder.path(), write).unwrap();
        fs::write(folder.path().join("more"), vec![1; 1 << 19]).unwrap();
        assert!(is_storage_full(&look(folder.path(), write).unwrap_err()));
        fs::remove_file(folder.path().join("more")).unwrap();
        drop(first);
        drop(promise(folder.path(), write).unwrap());
    }

    #[test]
    fn a_store_is_not_called_damaged_where_there_is_less_room_than_its_opening_takes() {
        let folder = tempfile::tempdir().unwrap();
        let Some(_disk) = SmallDisk::mount(folder.path(), 8 << 10) else { return };
        fs::write(folder.path().join("snap.0000000000000001"), vec![1; 2 << 20]).unwrap();
        assert_eq!(remedy(folder.path(), "it panicked", "restore it"), "restore it", "5 of 6 MiB are needed");
        fs::write(folder.path().join("filler"), vec![1; 3 << 20]).unwrap();
        assert_eq!(remedy(folder.path(), "it panicked", "restore it"), "this disk is full: make room and start again", "3 MiB are left");
    }

    #[test]
    fn what_the_system_said_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        for (number, words) in [(nix::errno::Errno::ENOSPC, "make room"), (nix::errno::Errno::EROFS, "mount it writable")] {
            let reason = format!("IO error: {}", std::io::Error::from(number));
            assert!(remedy(folder.path(), &reason, "restore it").contains(words), "{reason}");
        }
    }
}
