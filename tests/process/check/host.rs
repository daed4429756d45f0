//! A host that works, which a test then breaks: a primary, a sidecar, files of sshd's configuration, and what systemd would say of units.

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Group, Uid, User};
use serde_json::Value;

use crate::support::env::TestEnv;
use crate::support::generated_directory::directory_of_keys;
use crate::support::sshd::{KeyPair, forced_command};

/// The user that sshd starts the helper as here: everywhere there, and without any right.
pub const KEY_USER: &str = "nobody";
/// The user that a daemon runs as here where it is not root.
pub const DAEMON_USER: &str = "daemon";
/// The user who logs in: it needs a shell.
const LOGIN: &str = "root";

/// A host.
pub struct Host {
    /// What a test puts beside the host, dropped before its folder.
    pub beside: Vec<Box<dyn Any>>,
    pub env: TestEnv,
    /// Whether this machine cannot break it as the test wants.
    pub skipped: bool,
}

/// What `sidegate check --json` said.
pub struct Checked {
    pub code: Option<i32>,
    pub findings: Vec<Finding>,
    pub text: String,
}

/// One finding.
#[derive(Debug)]
pub struct Finding {
    pub level: String,
    pub what: String,
    pub remedy: Option<String>,
}

/// Whether a host can be made here; says so if not.
pub fn is_possible() -> bool {
    let possible = Uid::effective().is_root() && Path::new("/usr/sbin/sshd").exists() && User::from_name(DAEMON_USER).unwrap().is_some();
    if !possible {
        eprintln!("SKIPPED: hosts that are checked (they need root, /usr/sbin/sshd and a user {DAEMON_USER})");
    }
    possible
}

impl Host {
    /// Everything is in place, and nothing runs.
    pub fn prepared() -> Self {
        let host = Self { beside: Vec::new(), env: TestEnv::new(), skipped: false };
        let at = host.env.path().display().to_string();
        let group = group_of(KEY_USER);
        host.env.replace_in_file("sidegate.toml", "[auth]\n", &format!("group = \"{group}\"\n[auth]\n"));
        host.env.replace_in_file("primary.toml", "[auth]\n", &format!("group = \"{}\"\n[auth]\n", group_of(DAEMON_USER)));
        for folder in ["sshd_config.d", "bin"] {
            fs::create_dir(host.env.path().join(folder)).unwrap();
        }
        let host_key = KeyPair::generate(&host.env, "host_key", "ed25519").private_key_path;
        host.write("sshd_config", &format!("HostKey {}\nInclude {at}/sshd_config.d/*.conf\n", host_key.display()));
        host.write("sshd_config.d/50-sidegate.conf", &host.drop_in());
        let systemctl = "#!/bin/sh\ncat \"${0%/*}/$1-$2\" 2>/dev/null || { echo \"no unit $2\" >&2; exit 1; }\n";
        host.write("bin/systemctl", systemctl);
        fs::set_permissions(host.path("bin/systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(host.path("sidegate.toml"), fs::Permissions::from_mode(0o644)).unwrap();
        host
    }

    /// Both daemons run, and the sidecar follows.
    pub fn running() -> Self {
        let mut host = Self::prepared();
        host.start();
        host
    }

    pub fn start(&mut self) {
        self.env.start_primary();
        self.env.apply(&directory_of_keys(3));
        self.env.start_sidecar();
        self.env.wait_until_fresh();
    }

    /// Starts the sidecar once more, as its configuration is now.
    pub fn restart_sidecar(&mut self) {
        self.env.sidecar.as_mut().unwrap().stop();
        self.env.start_sidecar();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.env.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        self.env.write(name, text);
    }

    /// The drop-in as it is shipped, with the paths of this host.
    pub fn drop_in(&self) -> String {
        let shell = forced_command(&self.env, "echo \"forced: $1\"");
        format!(
            "Match User {LOGIN}\n    AuthorizedKeysCommand {} --socket {} --shell {} {LOGIN} %u %k\n    AuthorizedKeysCommandUser {KEY_USER}\n    \
             AuthorizedKeysFile none\n",
            self.env.helper_path().display(),
            self.env.sidecar_socket().display(),
            shell.display(),
        )
    }

    /// Replaces a part of the drop-in.
    pub fn change_drop_in(&self, from: &str, to: &str) {
        self.env.replace_in_file("sshd_config.d/50-sidegate.conf", from, to);
    }

    /// What systemd says of sidegate.service from now on: it runs this host's sidecar as `user`, with more lines of its own.
    pub fn install_unit(&self, user: &str, more_properties: &str, unit_text: &str) {
        let config = self.path("sidegate.toml").display().to_string();
        let start =
            format!("ExecStart={{ path=/usr/bin/sidegate ; argv[]=/usr/bin/sidegate serve --config {config} ; ignore_errors=no }}\n");
        self.write("bin/show-sidegate.service", &format!("LoadState=loaded\nActiveState=active\nUser={user}\n{start}{more_properties}"));
        self.write("bin/cat-sidegate.service", unit_text);
    }

    /// Gives a file or folder to another user.
    pub fn give(&self, name: &str, user: &str) {
        let user = User::from_name(user).unwrap().unwrap();
        std::os::unix::fs::chown(self.path(name), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }

    pub fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// `sidegate check` of the sidecar, with these words besides.
    pub fn check(&self, words: &[&str]) -> Checked {
        let (config, sshd_config) = (self.path("sidegate.toml"), self.path("sshd_config"));
        let own = ["--config", config.to_str().unwrap(), "--sshd-config", sshd_config.to_str().unwrap(), "--ssh-user", LOGIN];
        self.run_check(&[&own, words].concat())
    }

    /// `sidegate check --primary`, with these words besides.
    pub fn check_primary(&self, words: &[&str]) -> Checked {
        let config = self.path("primary.toml");
        self.run_check(&[&["--primary", config.to_str().unwrap()], words].concat())
    }

    fn run_check(&self, words: &[&str]) -> Checked {
        let as_text = words.contains(&"--start");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.arg("check").args(words).args((!as_text).then_some("--json")).env("PATH", path).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout.clone(), output.stderr].concat()).unwrap();
        let findings = if as_text { Vec::new() } else { parse_findings(&output.stdout).unwrap_or_else(|| panic!("{text}")) };
        Checked { code: output.status.code(), findings, text }
    }
}

fn parse_findings(json: &[u8]) -> Option<Vec<Finding>> {
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let list: Vec<Value> = serde_json::from_slice(json).ok()?;
    let finding = |value: &Value| Some(Finding { level: text(value, "level")?, what: text(value, "what")?, remedy: text(value, "remedy") });
    list.iter().map(finding).collect()
}

/// The name of a user's own group.
pub fn group_of(user: &str) -> String {
    let gid: Gid = User::from_name(user).unwrap().unwrap().gid;
    Group::from_gid(gid).unwrap().unwrap().name
}
