//! The part of `sidegate check` about callers: who may ask what on the sidecar's socket, the user that sshd starts the helper as first.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getgrouplist};

use crate::api::peer_policy::{PeerPolicy, PeerScope};
use crate::cli::config::peer::{PeerConfig, PeerIdentity};
use crate::cli::config::serve::ServeConfig;
use crate::cli::exit_status::CommandError;
use crate::cli::ids;
use crate::cli::output::{print_line, print_warning};
use crate::net::peer::Peer;

const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
const SSHD_CONFIG_FOLDER: &str = "/etc/ssh/sshd_config.d";
const EXECUTE: u32 = 0o1;
const WRITE: u32 = 0o2;

/// Prints what sshd's user, everybody, and each `[[peer]]` may ask, and warns of what would keep people out.
pub fn report_access(config: &ServeConfig) -> Result<(), CommandError> {
    let own_uid = daemon_uid(config)?;
    let policy = ids::resolve_peer_policy(own_uid, &config.socket.default_scopes, &config.peer)?;
    report_sshd(&policy, &config.socket.path);
    let everybody = scope_names(config.socket.default_scopes.iter().copied().map(PeerScope::from));
    print_line(&format!("callers: whoever can open {} may ask: {everybody}", config.socket.path.display()));
    for peer in &config.peer {
        print_line(&format!("callers: {} may also ask: {}", peer_name(peer), scope_names(peer.scopes().into_iter())));
    }
    for warning in redundant_rules(config) {
        print_warning(&warning);
    }
    Ok(())
}

/// Returns the user that the daemon runs as: this one, or for root, who runs the command by hand, the owner of the store.
fn daemon_uid(config: &ServeConfig) -> Result<u32, CommandError> {
    let own = Uid::effective();
    let owner = fs::metadata(&config.store.common.path).map(|metadata| metadata.uid());
    Ok(if own.is_root() { owner.unwrap_or(0) } else { own.as_raw() })
}

fn report_sshd(policy: &PeerPolicy, socket: &Path) {
    let settings = SshdSettings::read();
    match &settings.command {
        None => print_warning("sshd: no AuthorizedKeysCommand is set; install the drop-in of sidegate to /etc/ssh/sshd_config.d"),
        Some((file, line)) if !line.contains("sidegate") => {
            print_warning(&format!("sshd: {} sets `{line}`, which is not sidegate", file.display()));
        }
        Some((file, _)) => print_line(&format!("sshd: asks sidegate ({})", file.display())),
    }
    let Some(name) = settings.user else { return };
    let Ok(Some(user)) = User::from_name(&name) else {
        print_warning(&format!(
            "sshd: its AuthorizedKeysCommandUser `{name}` does not exist on this host: no key is looked up; make that user"
        ));
        return;
    };
    let peer = Peer::Unix { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
    let scopes: Vec<PeerScope> = PeerScope::ALL.into_iter().filter(|scope| policy.allows(&peer, *scope)).collect();
    print_line(&format!("callers: {name}, which sshd starts the helper as, may ask: {}", scope_names(scopes.iter().copied())));
    if !scopes.contains(&PeerScope::Keys) {
        print_warning(&format!(
            "{name} may not look up keys, so nobody can log in: leave \"keys\" in `socket.default_scopes`, or give it to {name} in a [[peer]]"
        ));
    }
    if let Some(path) = first_closed(socket, &user) {
        print_warning(&format!(
            "{name} may not open {}, because of the owner, group and mode of {}, so nobody can log in: make {name} a member of the \
             socket's group, or restart what makes it (systemctl restart sidegate.socket)",
            socket.display(),
            path.display()
        ));
    }
}

/// What sshd is configured to run, as far as its files can be read.
struct SshdSettings {
    command: Option<(PathBuf, String)>,
    user: Option<String>,
}

impl SshdSettings {
    fn read() -> Self {
        let entries = fs::read_dir(SSHD_CONFIG_FOLDER).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
        let mut files = entries.unwrap_or_default();
        files.sort();
        files.push(SSHD_CONFIG.into());
        let texts = files.into_iter().filter_map(|file| fs::read_to_string(&file).ok().map(|text| (file, text)));
        Self::parse(&texts.collect::<Vec<_>>())
    }

    fn parse(files: &[(PathBuf, String)]) -> Self {
        let lines = |keyword: &'static str| {
            files.iter().flat_map(move |(file, text)| {
                text.lines()
                    .filter_map(move |line| setting(line.trim(), keyword).map(|value| (file.clone(), line.trim().to_owned(), value)))
            })
        };
        let commands: Vec<_> = lines("AuthorizedKeysCommand").collect();
        let ours = commands.iter().find(|(_, _, value)| value.contains("sidegate")).or(commands.first());
        let file = ours.map(|(file, _, _)| file.clone());
        // The user stands beside the command, where there are several.
        let user = lines("AuthorizedKeysCommandUser").find(|(beside, _, _)| Some(beside) == file.as_ref());
        Self { command: ours.map(|(file, line, _)| (file.clone(), line.clone())), user: user.map(|(_, _, value)| value) }
    }
}

/// Returns the value of a line of sshd's configuration, if it sets `keyword`.
fn setting(line: &str, keyword: &str) -> Option<String> {
    let (name, value) = line.split_once(|letter: char| letter.is_ascii_whitespace() || letter == '=')?;
    name.eq_ignore_ascii_case(keyword).then(|| value.trim().trim_matches('"').to_owned())
}

/// Returns the first folder on the way to a socket, or the socket, that the user may not enter or open; `None` if it may, or if there is
/// no socket yet.
fn first_closed(socket: &Path, user: &User) -> Option<PathBuf> {
    let groups = CString::new(user.name.clone()).ok().and_then(|name| getgrouplist(&name, user.gid).ok()).unwrap_or_default();
    let groups: Vec<u32> = groups.into_iter().map(|group| group.as_raw()).collect();
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
fn grants((owner, group, mode): (u32, u32, u32), uid: u32, groups: &[u32], wanted: u32) -> bool {
    let shift = if uid == owner {
        6
    } else if groups.contains(&group) {
        3
    } else {
        0
    };
    uid == 0 || mode >> shift & wanted == wanted
}

/// Returns a warning for each rule that gives only what everybody has: it was written when rules took scopes away from all others.
fn redundant_rules(config: &ServeConfig) -> Vec<String> {
    let defaults = &config.socket.default_scopes;
    let redundant = config.peer.iter().filter(|peer| peer.scopes.iter().all(|scope| defaults.contains(scope)));
    redundant
        .map(|peer| {
            format!(
                "the [[peer]] of {} gives only what everybody has who can open the socket, and takes nothing from anybody else. To give \
                 these scopes to nobody but those who are named, say `default_scopes = []` in [socket]; else remove the [[peer]]",
                peer_name(peer)
            )
        })
        .collect()
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
    use std::path::{Path, PathBuf};

    use super::{EXECUTE, SshdSettings, WRITE, grants, redundant_rules};
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
    fn the_kernel_looks_at_the_first_class_that_fits() {
        let socket = (500, 70, 0o100_660);
        assert!(grants(socket, 500, &[], WRITE) && grants(socket, 9, &[3, 70], WRITE) && grants(socket, 0, &[], WRITE));
        assert!(!grants(socket, 9, &[3], WRITE));
        assert!(!grants((500, 70, 0o606), 500, &[70], EXECUTE) && !grants((500, 70, 0o606), 9, &[70], WRITE));
    }

    #[test]
    fn the_command_s_user_is_the_one_beside_the_command_of_sidegate() {
        let other = "AuthorizedKeysCommand /usr/bin/other %u\nAuthorizedKeysCommandUser nobody\n";
        let ours = "Match User git\n  authorizedkeyscommand \"/usr/lib/sidegate/sidegate-authorized-keys git %u %k\"\n\tAuthorizedKeysCommandUser=keys\n";
        let files = [("a", other), ("b", ours)].map(|(name, text)| (PathBuf::from(name), text.to_owned()));
        let settings = SshdSettings::parse(&files);
        assert_eq!((settings.command.unwrap().0, settings.user.as_deref()), (PathBuf::from("b"), Some("keys")));
        let settings = SshdSettings::parse(&files[..1]);
        assert_eq!(settings.command.unwrap().1, "AuthorizedKeysCommand /usr/bin/other %u");
    }
}
