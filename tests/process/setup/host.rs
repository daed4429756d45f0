//! A host in a folder: what the package brings, users of its own, a configuration of sshd, and what is in it at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

/// The users of the package, and their ids here.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nsidegate:x:901:901::/:/usr/sbin/nologin\n\
                      sidegate-primary:x:902:902::/:/usr/sbin/nologin\nsidegate-keys:x:903:903::/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nsidegate:x:901:\nsidegate-primary:x:902:sidegate\nsidegate-keys:x:903:\ngit:x:970:sidegate-keys\n";
pub const SIDECAR: u32 = 901;
pub const PRIMARY: u32 = 902;
pub const DROP_IN: &str = "etc/ssh/sshd_config.d/50-sidegate.conf";

/// A host.
pub struct Host {
    folder: tempfile::TempDir,
}

/// What `sidegate setup` said, and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// What is at a path: owner, group, mode, and content or target.
pub type Tree = BTreeMap<String, (u32, u32, u32, String)>;

impl Host {
    /// A host with the package; `None`, which is said, where none can be made.
    pub fn new() -> Option<Self> {
        if !Uid::effective().is_root() || !Path::new("/usr/sbin/sshd").exists() {
            eprintln!("SKIPPED: setting a host up (it needs root and /usr/sbin/sshd)");
            return None;
        }
        fs::create_dir_all("/run/sshd").unwrap();
        let folder = tempfile::Builder::new().prefix("sidegate-test-").tempdir_in("/run").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let host = Self { folder };
        for path in ["etc/sidegate", "etc/ssh/sshd_config.d", "home", "usr/share/sidegate"] {
            fs::create_dir_all(host.path(path)).unwrap();
        }
        for (path, text) in [("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/shadow", ""), ("etc/gshadow", "")] {
            host.write(path, text);
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
        for (from, to) in [("sidegate.toml", "sidegate.toml"), ("sshd_config.d/50-sidegate.conf", "50-sidegate.conf")] {
            fs::copy(shipped.join(from), host.path("usr/share/sidegate").join(to)).unwrap();
        }
        let key = host.path("etc/ssh/host_key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).stdin(Stdio::null()).status();
        assert!(made.unwrap().success());
        let at = host.path("etc/ssh").display().to_string();
        host.write("etc/ssh/sshd_config", &format!("Include {at}/sshd_config.d/*.conf\nHostKey {at}/host_key\n"));
        Some(host)
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A program that everybody may run.
    pub fn write_program(&self, path: &str) {
        self.write(path, "");
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn link(&self, target: &str, path: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    /// Owner and mode.
    pub fn owner_and_mode(&self, path: &str) -> (u32, u32) {
        let found = fs::symlink_metadata(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (found.uid(), found.mode() & 0o7777)
    }

    /// Runs `sidegate setup` with these words, without a terminal.
    pub fn setup(&self, words: &[&str]) -> Said {
        self.setup_with(words, &[])
    }

    /// The same, with these variables of the environment.
    pub fn setup_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        let output = command
            .arg("setup")
            .args(words)
            .arg("--root")
            .arg(self.folder.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The same, which must end with this code.
    pub fn setup_ends(&self, words: &[&str], code: i32) -> Said {
        let said = self.setup(words);
        assert_eq!(said.code, Some(code), "{words:?}: {}{}", said.out, said.err);
        said
    }

    /// Runs `sidegate setup` at a terminal at which this is typed; `None`, which is said, where `script` cannot make one.
    pub fn setup_at_terminal(&self, typed: &str) -> Option<String> {
        if !Path::new("/usr/bin/script").exists() {
            eprintln!("SKIPPED: setting a host up at a terminal (it needs /usr/bin/script)");
            return None;
        }
        let command = format!("{} setup --root {}", env!("CARGO_BIN_EXE_sidegate"), self.folder.path().display());
        let mut script = Command::new("/usr/bin/script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        Some(String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap())
    }

    /// Runs `sidegate setup` with these words at a terminal, does something once it shows this prompt, and then types this; `None`, which is
    /// said, where `script` cannot make a terminal.
    pub fn setup_at_prompt(&self, words: &[&str], prompt: &str, at_prompt: impl FnOnce(), typed: &str) -> Option<String> {
        if !Path::new("/usr/bin/script").exists() {
            eprintln!("SKIPPED: setting a host up at a terminal (it needs /usr/bin/script)");
            return None;
        }
        let command = format!("{} setup {} --root {}", env!("CARGO_BIN_EXE_sidegate"), words.join(" "), self.folder.path().display());
        let mut script = Command::new("/usr/bin/script");
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(prompt.as_bytes()) && output.read(&mut byte).unwrap() == 1 {
            said.push(byte[0]);
        }
        at_prompt();
        input.write_all(typed.as_bytes()).unwrap();
        output.read_to_end(&mut said).unwrap();
        drop(input);
        child.wait().unwrap();
        Some(String::from_utf8(said).unwrap())
    }

    /// Everything that is there, but for the copies that useradd keeps of the files it changed.
    pub fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let name = entry.strip_prefix(self.folder.path()).unwrap().display().to_string();
                let found = fs::symlink_metadata(&entry).unwrap();
                if ["etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"].contains(&name.as_str()) {
                    continue;
                }
                let content = match (found.is_symlink(), found.is_dir()) {
                    (true, _) => fs::read_link(&entry).unwrap().display().to_string(),
                    (_, true) => "a folder".to_owned(),
                    _ => String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned(),
                };
                if found.is_dir() {
                    folders.push(entry);
                }
                tree.insert(name, (found.uid(), found.gid(), found.mode(), content));
            }
        }
        tree
    }

    /// What sshd says is in force for a login of `git`.
    pub fn sshd_says(&self, keyword: &str) -> String {
        let output = Command::new("/usr/sbin/sshd")
            .args(["-T", "-C", "user=git,host=localhost,addr=127.0.0.1", "-f"])
            .arg(self.path("etc/ssh/sshd_config"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let found = text.lines().find_map(|line| line.strip_prefix(&format!("{keyword} ")));
        found.unwrap_or_else(|| panic!("{keyword}: {text}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }
}

/// The flags of a set-up with a primary on this host.
pub const EMBEDDED: [&str; 7] = ["--primary", "embedded", "--sshd-user", "git", "--shell", "/srv/gitlab-shell/bin/gitlab-shell", "--yes"];
