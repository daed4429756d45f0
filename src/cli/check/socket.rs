//! The socket of a daemon as it really is: whose it is, who may open it, and whether a daemon answers there.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::{Gid, Group, Uid};

use crate::cli::check::as_daemon::{DaemonUser, find_user, user_name};
use crate::cli::check::findings::Findings;
use crate::cli::check::unit::SocketUnit;
use crate::cli::config::socket::SocketConfig;
use crate::cli::ids;

const WRITABLE_FOR_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// The kernel's list of Unix sockets.
const KERNEL_SOCKETS: &str = "/proc/net/unix";
/// The flag of a listening socket in it.
const LISTENS: &str = "00010000";

/// What a socket should be, and what to do if it is not.
struct Expected {
    /// Which unit or setting says so.
    source: String,
    owner: u32,
    group: Option<u32>,
    mode: u32,
    /// What makes it anew.
    remedy: String,
}

/// Judges the socket of a daemon. `socket_unit` is the systemd unit that may make it, `service` the one that runs the daemon.
pub fn check(config: &SocketConfig, socket_unit: Option<&str>, service: &str, daemon: &DaemonUser, found: &mut Findings) {
    if let Some(Err(error)) = config.group.as_deref().map(ids::group_id) {
        found.refuse(error, "make the group (`groupadd --system`), or correct socket.group");
    }
    check_folder(&config.path, daemon, found);
    let unit = socket_unit.and_then(SocketUnit::read_active).filter(|unit| unit.paths.contains(&config.path));
    let expected = expected(config, unit.as_ref(), service, daemon);
    match fs::symlink_metadata(&config.path) {
        Ok(metadata) => {
            let before = found.as_slice().len();
            check_file(&config.path, &metadata, &expected, daemon, found);
            if metadata.file_type().is_socket() {
                check_listener(&config.path, service, found);
            }
            if found.as_slice().len() == before {
                found.ok(format!(
                    "socket: {} has the owner, group and mode that {} says, and somebody listens",
                    config.path.display(),
                    expected.source
                ));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => report_missing(&config.path, unit.is_some(), service, &expected, found),
        Err(error) => found.warn(format!("socket: {}: {error}; it was not looked at", config.path.display()), "run this as root"),
    }
}

fn expected(config: &SocketConfig, unit: Option<&SocketUnit>, service: &str, daemon: &DaemonUser) -> Expected {
    let Some(unit) = unit else {
        return Expected {
            source: "[socket] of the configuration".to_owned(),
            owner: daemon.uid(),
            group: config.group.as_deref().map_or(Some(daemon.gid()), |name| ids::group_id(name).ok()),
            mode: config.mode,
            remedy: format!("`systemctl restart {service}` makes it anew; find out who changed it"),
        };
    };
    Expected {
        source: unit.name.clone(),
        owner: find_user(&unit.user).map_or(0, |user| user.uid.as_raw()),
        group: if unit.group.is_empty() { None } else { ids::group_id(&unit.group).ok() },
        mode: unit.mode,
        remedy: format!("`systemctl restart {}` makes it anew, and restarts the service with it; find out who changed it", unit.name),
    }
}

/// Finds a folder of a socket that others than root and the daemon can write to: they could put another socket in its place.
fn check_folder(socket: &Path, daemon: &DaemonUser, found: &mut Findings) {
    let Some(folder) = socket.parent() else { return };
    let Ok(metadata) = fs::symlink_metadata(folder) else { return };
    let others_write = metadata.mode() & 0o022 != 0 && metadata.mode() & STICKY == 0;
    if others_write || ![0, daemon.uid()].contains(&metadata.uid()) {
        let name = folder.display();
        let what = format!(
            "socket.path: {name} can be written by others than root and the daemon's user ({}), who could put their own socket there",
            daemon.name()
        );
        found.fail(what, format!("chown root {name}; chmod 0755 {name}"));
    }
}

fn check_file(path: &Path, metadata: &Metadata, expected: &Expected, daemon: &DaemonUser, found: &mut Findings) {
    let name = path.display();
    if !metadata.file_type().is_socket() {
        return found.fail(
            format!("socket: {name} is there and is not a socket"),
            format!("remove it (`rm {name}`), and then {}", expected.remedy),
        );
    }
    if ![0, daemon.uid(), expected.owner].contains(&metadata.uid()) {
        let owner = user_name(Uid::from_raw(metadata.uid()));
        found.fail(
            format!("socket: {name} belongs to {owner}, neither to root nor to the daemon's user ({})", daemon.name()),
            &*expected.remedy,
        );
    }
    if let Some(group) = expected.group.filter(|group| *group != metadata.gid()) {
        let what = format!(
            "socket: {name} belongs to the group {}, and {} says {}, so those are kept out who should ask",
            group_name(metadata.gid()),
            expected.source,
            group_name(group)
        );
        found.fail(what, format!("chgrp {} {name}, or {}", group_name(group), expected.remedy));
    }
    check_mode(path, metadata.mode() & 0o777, expected, found);
}

fn check_mode(path: &Path, mode: u32, expected: &Expected, found: &mut Findings) {
    let name = path.display();
    let open_to_all = mode & WRITABLE_FOR_OTHERS != 0;
    if mode != expected.mode {
        let effect = if open_to_all { "everybody on this host may ask it" } else { "others may ask it than should" };
        let what = format!("socket: {name} has mode {mode:04o}, and {} says {:04o}: {effect}", expected.source, expected.mode);
        found.fail(what, format!("chmod {:04o} {name}, or {}", expected.mode, expected.remedy));
    } else if open_to_all {
        let what = format!("socket: {name} has mode {mode:04o}, as {} says: everybody on this host may ask it", expected.source);
        found.warn(what, "say 0660 there, with the group of those who should ask");
    }
}

fn check_listener(path: &Path, service: &str, found: &mut Findings) {
    match try_connect(path) {
        Ok(()) | Err(Errno::EAGAIN | Errno::EACCES) => {}
        Err(Errno::ECONNREFUSED) => {
            let what = format!("socket: nobody listens at {}, which an earlier daemon left behind", path.display());
            found.fail(what, format!("systemctl start {service}; where that fails: `journalctl -u {service}`"));
        }
        Err(error) => found.warn(format!("socket: {}: {}", path.display(), error.desc()), "look at what is there"),
    }
}

/// Connects without waiting: a full backlog is an error, where a plain connect would wait for ever.
pub fn try_connect(path: &Path) -> nix::Result<()> {
    let probe = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    connect(probe.as_raw_fd(), &UnixAddr::new(path)?)
}

fn report_missing(path: &Path, made_by_unit: bool, service: &str, expected: &Expected, found: &mut Findings) {
    let name = path.display();
    if made_by_unit || is_listening(&fs::read_to_string(KERNEL_SOCKETS).unwrap_or_default(), path) {
        let what = format!("socket: {name} has vanished: a daemon listens, and its socket's file was removed, so nobody finds it");
        return found.fail(what, &*expected.remedy);
    }
    found.warn(format!("socket: there is none at {name}: the daemon does not run"), format!("systemctl enable --now {service}"));
}

/// Returns whether a process listens on a socket that was made at this path, by the kernel's list.
fn is_listening(sockets: &str, path: &Path) -> bool {
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.nth(3) == Some(LISTENS) && words.nth(3).is_some_and(|made_at| Path::new(made_at) == path)
    })
}

fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| format!("gid {gid}"), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Expected, check_mode, is_listening};
    use crate::cli::check::findings::{Findings, Level};

    #[test]
    fn a_listening_socket_is_found_in_the_kernel_s_list_by_the_path_it_was_made_at() {
        let list = "Num       RefCount Protocol Flags    Type St Inode Path\n\
                    0000000000000000: 00000002 00000000 00010000 0001 01 26520 /run/sidegate/api.sock\n\
                    0000000000000000: 00000003 00000000 00000000 0001 03 26521 /run/other.sock\n\
                    0000000000000000: 00000002 00000000 00010000 0001 01 26522\n";
        assert!(is_listening(list, Path::new("/run/sidegate/api.sock")));
        assert!(!is_listening(list, Path::new("/run/other.sock")), "a connection is no listener");
        assert!(!is_listening("", Path::new("/run/sidegate/api.sock")));
    }

    #[test]
    fn a_mode_that_was_changed_is_an_error_and_one_that_is_meant_for_everybody_a_warning() {
        let judged = |mode: u32, expected: u32| {
            let expected = Expected { source: "[socket]".into(), owner: 0, group: None, mode: expected, remedy: "restart".into() };
            let mut found = Findings::default();
            check_mode(Path::new("/s"), mode, &expected, &mut found);
            (found.count(Level::Error), found.count(Level::Warning))
        };
        assert_eq!(
            [judged(0o660, 0o660), judged(0o666, 0o660), judged(0o600, 0o660), judged(0o666, 0o666)],
            [(0, 0), (1, 0), (1, 0), (0, 1)]
        );
    }
}
