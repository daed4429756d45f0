//! The units that are installed, as systemd knows them with all drop-ins: as whom a service runs, what it may write, which socket is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::check::credentials::Credentials;
use crate::cli::check::program::{self, ProgramOutput};

const SYSTEMCTL: &str = "systemctl";
const SERVICE_PROPERTIES: &str =
    "LoadState,ActiveState,User,Group,SupplementaryGroups,StateDirectory,ProtectSystem,ProtectHome,ReadWritePaths,ExecStart,ExecStartPre";
const SOCKET_PROPERTIES: &str = "LoadState,ActiveState,Listen,SocketUser,SocketGroup,SocketMode";
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Where systemd makes the folders of `StateDirectory=`.
const STATE_FOLDER: &str = "/var/lib";

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceUnit {
    /// Its name, as `sidegate.service`.
    pub name: String,
    /// Whether it has ended with an error, and systemd has given it up.
    pub has_failed: bool,
    /// `User=`; empty where it runs as root.
    pub user: String,
    /// `Group=`; empty for the user's own.
    pub group: String,
    /// `SupplementaryGroups=`.
    pub supplementary_groups: Vec<String>,
    /// The folders of `StateDirectory=`, which systemd makes for the user.
    pub state_folders: Vec<PathBuf>,
    /// Whether it sees the file system read-only, but for its own folders and [`Self::writable`].
    pub read_only_system: bool,
    /// Whether it sees nothing below `/home` and `/root`.
    pub no_homes: bool,
    /// `ReadWritePaths=`.
    pub writable: Vec<PathBuf>,
    /// The command that it runs.
    pub start: String,
    /// The commands that it runs before.
    pub before_start: String,
    /// The secrets that systemd hands to it.
    pub credentials: Credentials,
}

/// A socket that systemd makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketUnit {
    /// Its name, as `sidegate.socket`.
    pub name: String,
    /// The paths that it listens at.
    pub paths: Vec<PathBuf>,
    /// `SocketUser=`; empty for root.
    pub user: String,
    /// `SocketGroup=`; empty for root's.
    pub group: String,
    /// `SocketMode=`.
    pub mode: u32,
}

impl ServiceUnit {
    /// Asks systemd for a service. Returns why it cannot say anything of it.
    pub fn read(name: &str) -> Result<Self, String> {
        let shown = systemctl(&["show", name, "--no-pager", "--property", SERVICE_PROPERTIES])?;
        let mut unit = Self::from_properties(name, &properties(&shown))?;
        // `show` does not print credentials.
        unit.credentials = Credentials::parse(name, &systemctl(&["cat", name, "--no-pager"])?);
        Ok(unit)
    }

    fn from_properties(name: &str, properties: &BTreeMap<&str, String>) -> Result<Self, String> {
        let text = |key: &str| properties.get(key).cloned().unwrap_or_default();
        require_loaded(name, &text("LoadState"))?;
        let words = |key: &str| text(key).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Ok(Self {
            name: name.to_owned(),
            has_failed: text("ActiveState") == "failed",
            user: text("User"),
            group: text("Group"),
            supplementary_groups: words("SupplementaryGroups"),
            state_folders: words("StateDirectory").iter().map(|name| Path::new(STATE_FOLDER).join(name)).collect(),
            read_only_system: text("ProtectSystem") == "strict",
            no_homes: matches!(text("ProtectHome").as_str(), "yes" | "tmpfs"),
            writable: words("ReadWritePaths").iter().map(|path| path.trim_start_matches(['-', '+']).into()).collect(),
            start: commands(&text("ExecStart")),
            before_start: commands(&text("ExecStartPre")),
            credentials: Credentials::default(),
        })
    }

    /// Returns whether it runs a daemon with this file as its configuration.
    #[must_use]
    pub fn runs_with(&self, config: &Path) -> bool {
        let config = config.to_string_lossy();
        self.start.split_whitespace().any(|word| word == config || word.strip_prefix("--config=").is_some_and(|file| file == config))
    }

    /// Returns whether it may write below this path, as far as its own restrictions go.
    #[must_use]
    pub fn lets_write(&self, path: &Path) -> bool {
        !self.read_only_system || self.state_folders.iter().chain(&self.writable).any(|folder| path.starts_with(folder))
    }

    /// Returns whether it sees this path at all.
    #[must_use]
    pub fn sees(&self, path: &Path) -> bool {
        !(self.no_homes && ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home)))
    }
}

impl SocketUnit {
    /// Asks systemd for a socket that listens now; `None` where there is none, or no systemd.
    #[must_use]
    pub fn read_active(name: &str) -> Option<Self> {
        let shown = systemctl(&["show", name, "--no-pager", "--property", SOCKET_PROPERTIES]).ok()?;
        let properties = properties(&shown);
        (properties.get("ActiveState").map(String::as_str) == Some("active")).then(|| Self::from_properties(name, &properties))
    }

    fn from_properties(name: &str, properties: &BTreeMap<&str, String>) -> Self {
        let text = |key: &str| properties.get(key).cloned().unwrap_or_default();
        let paths = text("Listen").lines().filter_map(|line| line.rsplit_once(" (")).map(|(path, _)| PathBuf::from(path)).collect();
        let mode = u32::from_str_radix(&text("SocketMode"), 8).unwrap_or(0o666);
        Self { name: name.to_owned(), paths, user: text("SocketUser"), group: text("SocketGroup"), mode }
    }
}

fn require_loaded(name: &str, state: &str) -> Result<(), String> {
    match state {
        "loaded" => Ok(()),
        "not-found" | "" => Err(format!("{name} is not installed")),
        other => Err(format!("{name} is {other}")),
    }
}

fn systemctl(arguments: &[&str]) -> Result<String, String> {
    match program::run(Path::new(SYSTEMCTL), arguments, TIME_LIMIT)? {
        ProgramOutput { success: true, stdout, .. } => Ok(stdout),
        failed => Err(format!("{SYSTEMCTL}: {}", failed.complaint())),
    }
}

/// Returns the lines `Name=value` of `systemctl show`. A property that has several lines has their values in as many lines.
fn properties(shown: &str) -> BTreeMap<&str, String> {
    let mut properties: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in shown.lines().filter_map(|line| line.split_once('=')) {
        let values = properties.entry(name).or_default();
        if !values.is_empty() {
            values.push('\n');
        }
        values.push_str(value);
    }
    properties
}

/// Returns the command lines of `{ path=… ; argv[]=… ; ignore_errors=… }`, one a line.
fn commands(shown: &str) -> String {
    let lines = shown.lines().filter_map(|line| line.split_once("argv[]=")?.1.split(" ; ").next());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::{ServiceUnit, SocketUnit, properties};

    const SERVICE: &str = "\
ExecStartPre={ path=/usr/bin/sidegate ; argv[]=/usr/bin/sidegate check --start --config /etc/sidegate/sidegate.toml ; ignore_errors=no ; pid=0 }
ExecStart={ path=/usr/bin/sidegate ; argv[]=/usr/bin/sidegate serve --config /etc/sidegate/sidegate.toml ; ignore_errors=no ; status=0/0 }
User=sidegate
Group=sidegate
SupplementaryGroups=mail games
ReadWritePaths=-/srv/keys
ProtectHome=yes
ProtectSystem=strict
StateDirectory=sidegate
LoadState=loaded
";

    fn service(shown: &str) -> Result<ServiceUnit, String> {
        ServiceUnit::from_properties("sidegate.service", &properties(shown))
    }

    #[test]
    fn a_service_is_read_as_systemd_shows_it() {
        let unit = service(SERVICE).unwrap();
        assert_eq!((unit.user.as_str(), unit.group.as_str(), unit.supplementary_groups.len()), ("sidegate", "sidegate", 2));
        assert_eq!(unit.before_start, "/usr/bin/sidegate check --start --config /etc/sidegate/sidegate.toml");
        assert!(unit.runs_with(Path::new("/etc/sidegate/sidegate.toml")) && !unit.runs_with(Path::new("/etc/sidegate/other.toml")));
        for (path, writable) in [("/var/lib/sidegate", true), ("/var/lib/sidegate2", false), ("/srv/keys/a", true), ("/srv", false)] {
            assert_eq!(unit.lets_write(Path::new(path)), writable, "{path}");
        }
        assert!(!unit.sees(Path::new("/root/secret")) && unit.sees(Path::new("/etc/sidegate/secret")));
        assert_eq!(service("LoadState=not-found\nUser=\n").unwrap_err(), "sidegate.service is not installed");
        assert_eq!(service("LoadState=masked\n").unwrap_err(), "sidegate.service is masked");
    }

    #[test]
    fn a_socket_is_read_as_systemd_shows_it() {
        let shown =
            "SocketUser=sidegate\nSocketGroup=git\nSocketMode=0660\nListen=/run/sidegate/api.sock (Stream)\nListen=[::]:80 (Stream)\n";
        let unit = SocketUnit::from_properties("sidegate.socket", &properties(shown));
        assert_eq!(unit.paths[0], PathBuf::from("/run/sidegate/api.sock"));
        assert_eq!((unit.user.as_str(), unit.group.as_str(), unit.mode), ("sidegate", "git", 0o660));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_fault(shown in "(([A-Z][a-zA-Z]{0,12}=)?[ -~]{0,40}\n){0,12}") {
            let found = properties(&shown);
            for (name, values) in &found {
                for value in values.lines() {
                    let line = format!("{name}={value}");
                    prop_assert!(shown.lines().any(|shown| shown == line));
                }
            }
            let _ = SocketUnit::from_properties("x.socket", &found);
            let _ = ServiceUnit::from_properties("x.service", &found);
        }

        #[test]
        fn what_systemd_shows_comes_back(user in "[a-z][a-z-]{0,8}", folders in proptest::collection::vec("[a-z]{1,6}", 0..3), mode in 0u32..0o1000) {
            let unit = service(&format!("LoadState=loaded\nUser={user}\nStateDirectory={}\n", folders.join(" "))).unwrap();
            prop_assert_eq!(unit.user, user);
            prop_assert_eq!(unit.state_folders, folders.iter().map(|name| PathBuf::from(format!("/var/lib/{name}"))).collect::<Vec<_>>());
            let shown = format!("SocketMode={mode:04o}\n");
            let socket = SocketUnit::from_properties("x.socket", &properties(&shown));
            prop_assert_eq!(socket.mode, mode);
        }
    }
}
