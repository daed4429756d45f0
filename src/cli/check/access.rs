//! The part of `sidegate check` about callers: who may ask what on the sidecar's socket, the user that sshd starts the helper as first.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::User;

use crate::api::peer_policy::{PeerPolicy, PeerScope};
use crate::cli::check::as_daemon::{DaemonUser, find_user, groups_of};
use crate::cli::check::findings::Findings;
use crate::cli::config::peer::{PeerConfig, PeerIdentity};
use crate::cli::config::serve::ServeConfig;
use crate::cli::ids;
use crate::net::peer::Peer;

/// The permission to enter a folder, or to run a program.
pub const EXECUTE: u32 = 0o1;
const WRITE: u32 = 0o2;

/// Says what sshd's user, everybody, and each `[[peer]]` may ask, and what would keep people out. `key_user` is whom sshd starts the helper
/// as, and `login_user` who logs in for Git, where that is known.
pub fn check(config: &ServeConfig, daemon: &DaemonUser, key_user: Option<&str>, login_user: Option<&str>, found: &mut Findings) {
    let everybody = scope_names(config.socket.default_scopes.iter().copied().map(PeerScope::from));
    match ids::resolve_peer_policy(daemon.uid(), &config.socket.default_scopes, &config.peer) {
        Ok(policy) => {
            if let Some(name) = key_user.filter(|name| !name.is_empty()) {
                check_key_user(name, &policy, &config.socket.path, found);
            }
        }
        Err(error) => found.refuse(error, "make that user or group, or correct the [[peer]]; the daemon does not start before"),
    }
    if let Some(user) = login_user.and_then(find_user) {
        check_login_user(&user, &config.socket.path, found);
    }
    found.ok(format!("callers: whoever can open {} may ask: {everybody}", config.socket.path.display()));
    for peer in &config.peer {
        found.ok(format!("callers: {} may also ask: {}", peer_name(peer), scope_names(peer.scopes().into_iter())));
    }
    for peer in redundant_rules(config) {
        let what = format!(
            "callers: the [[peer]] of {} gives only what everybody has who can open the socket, and takes nothing from anybody else",
            peer_name(peer)
        );
        let remedy =
            "say `default_scopes = []` in [socket] to give these scopes to nobody but those who are named; else remove the [[peer]]";
        found.warn(what, remedy);
    }
}

fn check_key_user(name: &str, policy: &PeerPolicy, socket: &Path, found: &mut Findings) {
    let Some(user) = find_user(name) else {
        let what = format!("sshd: its AuthorizedKeysCommandUser {name} does not exist on this host, so no key is looked up");
        return found.fail(what, "make that user: `systemd-sysusers sidegate.conf`, or run sidegate/install again");
    };
    let peer = Peer::Unix { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
    let scopes: Vec<PeerScope> = PeerScope::ALL.into_iter().filter(|scope| policy.allows(&peer, *scope)).collect();
    found.ok(format!("callers: {name}, which sshd starts the helper as, may ask: {}", scope_names(scopes.iter().copied())));
    if !scopes.contains(&PeerScope::Keys) {
        let what = format!("callers: {name} may not look up keys, so nobody can log in");
        found.fail(what, format!("leave \"keys\" in `socket.default_scopes`, or give it to {name} in a [[peer]]"));
    }
    if let Some(path) = first_closed(socket, &user) {
        let what = format!(
            "callers: {name} may not open {}, because of the owner, group and mode of {}, so nobody can log in",
            socket.display(),
            path.display()
        );
        let remedy = format!(
            "make {name} a member of the socket's group (`usermod -aG git {name}`), or restart what makes the socket (`systemctl restart \
             sidegate.socket`)"
        );
        found.fail(what, remedy);
    }
}

/// Finds a user who logs in and whose gitlab-shell could then ask nothing.
fn check_login_user(user: &User, socket: &Path, found: &mut Findings) {
    let Some(path) = first_closed(socket, user) else { return };
    let (name, socket) = (&user.name, socket.display());
    let what = format!(
        "callers: {name}, who logs in, may not open {socket}, because of the owner, group and mode of {}, so gitlab-shell can ask nothing",
        path.display()
    );
    found.fail(what, format!("make {name} a member of the socket's group (`usermod -aG git {name}`)"));
}

/// Returns the first folder on the way to a socket, or the socket, that the user may not enter or open; `None` if it may, or if there is
/// no socket yet.
fn first_closed(socket: &Path, user: &User) -> Option<PathBuf> {
    let groups: Vec<u32> = groups_of(user).into_iter().map(|group| group.as_raw()).collect();
    let closed = |path: &Path, wanted: u32| {
        fs::metadata(path).is_ok_and(|metadata| {
            let access = (metadata.uid(), metadata.gid(), metadata.mode());
            !grants(access, user.uid.as_raw(), &groups, wanted)
        })
    };
    let folders: Vec<&Path> = socket.ancestors().skip(1).collect();
    let folder = folders.into_iter().rev().find(|folder| closed(folder, EXECUTE));
    folder.or_else(|| Some(socket).filter(|socket| closed(socket, WRITE))).map(Path::to_owned)
}

/// Returns whether an owner, group and mode grant `wanted` to a user, as the kernel decides it.
pub fn grants((owner, group, mode): (u32, u32, u32), uid: u32, groups: &[u32], wanted: u32) -> bool {
    let shift = if uid == owner {
        6
    } else if groups.contains(&group) {
        3
    } else {
        0
    };
    uid == 0 || mode >> shift & wanted == wanted
}

/// Returns each rule that gives only what everybody has: it was written when rules took scopes away from all others.
fn redundant_rules(config: &ServeConfig) -> Vec<&PeerConfig> {
    let defaults = &config.socket.default_scopes;
    config.peer.iter().filter(|peer| peer.scopes.iter().all(|scope| defaults.contains(scope))).collect()
}

fn peer_name(peer: &PeerConfig) -> String {
    match peer.identity() {
        Some(PeerIdentity::User(name)) => format!("the user {name}"),
        Some(PeerIdentity::Group(name)) => format!("the group {name}"),
        Some(PeerIdentity::Uid(uid)) => format!("the user {uid}"),
        Some(PeerIdentity::Gid(gid)) => format!("the group {gid}"),
        None => "nobody".to_owned(),
    }
}

fn scope_names(scopes: impl Iterator<Item = PeerScope>) -> String {
    let names: Vec<&str> = scopes
        .map(|scope| match scope {
            PeerScope::Keys => "keys",
            PeerScope::Shell => "shell",
            PeerScope::Metrics => "metrics",
            PeerScope::Admin => "admin",
        })
        .collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{EXECUTE, WRITE, check_login_user, grants, redundant_rules};
    use crate::cli::check::as_daemon::find_user;
    use crate::cli::check::findings::Findings;
    use crate::cli::config::file;
    use crate::cli::config::serve::ServeConfig;

    fn warnings(text: &str) -> usize {
        redundant_rules(&file::parse::<ServeConfig>(Path::new("x"), text).unwrap()).len()
    }

    #[test]
    fn rules_that_were_written_to_take_scopes_away_are_warned_of() {
        let before = "[[peer]]\nuid = 998\nscopes = [\"keys\", \"shell\"]\n[[peer]]\nuid = 997\nscopes = [\"keys\"]\n";
        assert_eq!(warnings(before), 2);
        assert_eq!(warnings(&format!("[socket]\ndefault_scopes = []\n{before}")), 0, "that takes them away");
        assert_eq!(warnings(&format!("[socket]\ndefault_scopes = [\"keys\"]\n{before}")), 1, "the shell is more than everybody has");
        assert_eq!(warnings("[[peer]]\nuid = 998\nscopes = [\"keys\", \"metrics\"]\n"), 0, "that gives something");
    }

    #[test]
    fn a_user_who_logs_in_and_may_not_open_the_socket_is_found() {
        let Some(nobody) = find_user("nobody") else { return };
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let said = |mode: u32| {
            std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            let mut found = Findings::default();
            check_login_user(&nobody, &socket, &mut found);
            found.as_slice().iter().map(|finding| finding.what.clone()).collect::<String>()
        };
        assert_eq!(said(0o755), "");
        let closed = said(0o700);
        assert!(closed.contains("nobody, who logs in, may not open") && closed.contains("gitlab-shell can ask nothing"), "{closed}");
    }

    #[test]
    fn the_kernel_looks_at_the_first_class_that_fits() {
        let socket = (500, 70, 0o100_660);
        assert!(grants(socket, 500, &[], WRITE) && grants(socket, 9, &[3, 70], WRITE) && grants(socket, 0, &[], WRITE));
        assert!(!grants(socket, 9, &[3], WRITE));
        assert!(!grants((500, 70, 0o606), 500, &[70], EXECUTE) && !grants((500, 70, 0o606), 9, &[70], WRITE));
    }
}
