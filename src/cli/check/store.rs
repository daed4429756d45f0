//! The folder of a store: may the daemon use it, and is there room on its disk.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{AccessFlags, eaccess};

use crate::cli::check::as_daemon::DaemonUser;
use crate::cli::check::findings::Findings;
use crate::store::files::folder;

/// Less room than this is as good as none.
const NO_ROOM_BYTES: u64 = 4 << 20;
const OTHERS_READ: u32 = 0o055;
/// How much room there should be beside that for a second copy of what the store has.
const SPARE_BYTES: u64 = 64 << 20;

/// Finds a folder that the daemon would refuse at its start. One that is not there yet it makes.
pub fn check_owner(path: &Path, daemon: &DaemonUser, found: &mut Findings) {
    if fs::symlink_metadata(path).is_ok()
        && let Err(error) = daemon.act(|| folder::check_private(path))
    {
        found.refuse(format!("store.path: {error}"), &format!("chown -R {0} {1}; chmod 0700 {1}", daemon.name(), path.display()));
    }
}

/// Judges the folder of a daemon's store as the daemon's user.
pub fn check(path: &Path, daemon: &DaemonUser, found: &mut Findings) {
    let before = found.as_slice().len();
    if let Some(unit) = daemon.unit().filter(|unit| !unit.lets_write(path)) {
        let what = format!("store.path: {} may not write {}: it sees the file system read-only", unit.name, path.display());
        found.fail(what, format!("say ReadWritePaths={} in the unit (`systemctl edit {}`)", path.display(), unit.name));
    }
    if let Err(error) = fs::symlink_metadata(path)
        && error.kind() == ErrorKind::NotFound
    {
        return check_can_be_made(path, daemon, found);
    }
    check_owner(path, daemon, found);
    check_write(path, daemon, found);
    check_closed(path, found);
    check_room(path, found);
    if found.as_slice().len() == before {
        found.ok(format!("store: {} is writable for {}, and its disk has room", path.display(), daemon.name()));
    }
}

fn check_write(path: &Path, daemon: &DaemonUser, found: &mut Findings) {
    if let Err(error) = daemon.act(|| eaccess(path, AccessFlags::W_OK | AccessFlags::X_OK)) {
        let what = format!("store.path: {} may not write {}: {}", daemon.name(), path.display(), error.desc());
        found.fail(what, format!("chmod 0700 {0}; where its file system is read-only, mount it writable", path.display()));
    }
}

/// Finds a folder that others may look into: the files in it have whatever mode the database gives them.
fn check_closed(path: &Path, found: &mut Findings) {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && metadata.mode() & OTHERS_READ != 0) {
        let what = format!("store.path: {} lets group or others read what is in it, tokens of Gitaly among it", path.display());
        found.fail(what, format!("chmod 0700 {}", path.display()));
    }
}

/// Finds a folder that is not there and that the daemon cannot make either.
fn check_can_be_made(path: &Path, daemon: &DaemonUser, found: &mut Findings) {
    let name = path.display();
    if daemon.unit().is_some_and(|unit| unit.state_folders.iter().any(|folder| path.starts_with(folder))) {
        return found.ok(format!("store: {name} is not there yet; systemd makes it at the start"));
    }
    let above = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    match daemon.act(|| eaccess(above, AccessFlags::W_OK | AccessFlags::X_OK)) {
        Ok(()) => found.ok(format!("store: {name} is not there yet; the daemon makes it at its start")),
        Err(error) => {
            let what =
                format!("store.path: {name} is not there, and {} may not make it in {}: {}", daemon.name(), above.display(), error.desc());
            found.fail(what, format!("install -d -m 0700 -o {0} -g {0} {name}", daemon.name()));
        }
    }
}

fn check_room(path: &Path, found: &mut Findings) {
    match statvfs(path) {
        Ok(disk) => judge_room(path, Room::of(&disk), stored_bytes(path), found),
        Err(error) => found.warn(format!("store.path: {}: its disk says no room: {}", path.display(), error.desc()), "look at that disk"),
    }
}

/// What a disk has left for users.
#[derive(Clone, Copy)]
struct Room {
    bytes: u64,
    /// Whether files can be made; some file systems do not count them.
    files: bool,
}

impl Room {
    #[expect(clippy::useless_conversion, reason = "the width of these counts differs between systems")]
    fn of(disk: &Statvfs) -> Self {
        let bytes = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
        Self { bytes, files: disk.files() == 0 || disk.files_available() > 0 }
    }
}

/// Judges the room for a second copy of the store, which is made beside the first one.
fn judge_room(path: &Path, room: Room, stored: u64, found: &mut Findings) {
    let name = path.display();
    let mebibytes = |bytes: u64| bytes >> 20;
    if room.bytes < NO_ROOM_BYTES || !room.files {
        let left = if room.files { format!("{} MiB", mebibytes(room.bytes)) } else { "no inode".to_owned() };
        found.fail(format!("store.path: the disk of {name} is full, {left} left"), "free some space; delete nothing of sidegate's");
    } else if room.bytes < stored.saturating_add(SPARE_BYTES) {
        let (left, needed) = (mebibytes(room.bytes), mebibytes(stored.saturating_add(SPARE_BYTES)));
        let what = format!("store.path: the disk of {name} has {left} MiB left, and a second copy of the store may take {needed} MiB");
        found.warn(what, "free some space");
    }
}

/// Returns how many bytes the files below a folder take on the disk, as far as it can be read.
fn stored_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks().saturating_mul(512),
        Err(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{NO_ROOM_BYTES, Room, SPARE_BYTES, judge_room};
    use crate::cli::check::findings::{Findings, Level};

    #[test]
    fn a_full_disk_is_an_error_and_one_without_room_for_a_second_copy_a_warning() {
        let judged = |bytes: u64, files: bool, stored: u64| {
            let mut found = Findings::default();
            judge_room(Path::new("/s"), Room { bytes, files }, stored, &mut found);
            (found.count(Level::Error), found.count(Level::Warning))
        };
        assert_eq!(judged(NO_ROOM_BYTES - 1, true, 0), (1, 0));
        assert_eq!(judged(NO_ROOM_BYTES, true, 0), (0, 1));
        assert_eq!(judged(SPARE_BYTES, true, 0), (0, 0));
        assert_eq!(judged(SPARE_BYTES, true, 1), (0, 1));
        assert_eq!(judged(1 << 40, false, 0), (1, 0), "no file can be made");
        assert_eq!(judged(u64::MAX, true, u64::MAX), (0, 0));
    }
}
