//! A primary and a sidecar in a folder of their own, with all that a test does to them.

use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, issue_token};
use sidegate::wire::auth::secret::Secret;

use crate::support::TIMEOUT;
use crate::support::http::{Request, Response};

/// The secret of gitlab-shell's tokens in every environment.
pub const SHELL_SECRET: &str = "a-shell-secret-of-thirty-two-hex";
pub const SYNC_SECRET: &str = "a-sync-secret-of-thirty-two-hexx";

/// Projects that pushes create get no repository, unless a test brings a Gitaly of its own.
pub const NO_REPOSITORIES: &str = "[creation]\nrepositories = \"none\"\n";

/// Sends a request to one of the two daemons.
pub type SendTo = fn(&TestEnv, Request) -> Response;

/// Two daemons and their folder.
pub struct TestEnv {
    pub primary: Option<Daemon>,
    pub sidecar: Option<Daemon>,
    /// Dropped last: a daemon that still runs would write into it again.
    dir: tempfile::TempDir,
}

/// A daemon that runs; killed when dropped.
pub struct Daemon {
    child: std::process::Child,
    log: PathBuf,
    notify_socket: UnixDatagram,
}

impl TestEnv {
    /// Configurations and secrets; nothing runs yet. As root below `/run`, where sshd accepts commands.
    pub fn new() -> Self {
        Self::with_config("", "")
    }

    /// The same with more lines at the end of the two configurations.
    pub fn with_config(primary_more: &str, sidecar_more: &str) -> Self {
        let above = if nix::unistd::Uid::effective().is_root() { PathBuf::from("/run") } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("sidegate-test-").tempdir_in(above).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let env = Self { dir: folder, primary: None, sidecar: None };
        env.write("shell_secret", SHELL_SECRET);
        env.write("sync_secret", SYNC_SECRET);
        let at = env.path().display();
        env.write(
            "primary.toml",
            &format!(
                "[socket]\npath = \"{at}/primary.sock\"\n[auth]\nshell_secret_file = \"{at}/shell_secret\"\n\
                 sync_secret_file = \"{at}/sync_secret\"\n[store]\npath = \"{at}/primary\"\n{NO_REPOSITORIES}[log]\nlevel = \"info\"\n{primary_more}"
            ),
        );
        env.write(
            "sidegate.toml",
            &format!(
                "host = \"ssh-1\"\n[socket]\npath = \"{at}/api.sock\"\n[auth]\nshell_secret_file = \"{at}/shell_secret\"\n\
                 [primary]\nurl = \"http+unix://{at}/primary.sock\"\nfeed = \"sidegate\"\nsync_secret_file = \"{at}/sync_secret\"\n\
                 [store]\npath = \"{at}/sidecar\"\n[log]\nlevel = \"info\"\n{sidecar_more}"
            ),
        );
        env
    }

    /// Both daemons run, the sidecar follows, the directory is applied.
    pub fn running(directory: &str) -> Self {
        let mut env = Self::new();
        env.start_primary();
        env.apply(directory);
        env.start_sidecar();
        env.wait_until_fresh();
        env
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder of the generation that the sidecar answers from.
    pub fn active_generation_dir(&self) -> PathBuf {
        let name = fs::read_to_string(self.path().join("sidecar/CURRENT")).unwrap();
        self.path().join("sidecar/generations").join(name.trim())
    }

    pub fn primary_socket(&self) -> PathBuf {
        self.path().join("primary.sock")
    }

    pub fn sidecar_socket(&self) -> PathBuf {
        self.path().join("api.sock")
    }

    /// A file that only we may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    /// Changes a file of ours; what is to be changed must be there.
    pub fn replace_in_file(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, &text.replace(from, to));
    }

    pub fn start_primary(&mut self) {
        self.primary = Some(self.start_daemon("primary", "primary.toml"));
    }

    pub fn start_sidecar(&mut self) {
        self.sidecar = Some(self.start_daemon("serve", "sidegate.toml"));
    }

    /// Starts `sidegate COMMAND` and waits until it says that it serves.
    pub fn start_daemon(&self, command: &str, config: &str) -> Daemon {
        let mut sidegate = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        sidegate.args([command, "--config"]).arg(self.path().join(config)).stdin(Stdio::null());
        self.spawn_daemon(sidegate, config)
    }

    /// Starts `sidegate COMMAND` with this socket as the one that systemd hands over.
    pub fn start_daemon_with_socket(&self, command: &str, config: &str, socket: OwnedFd) -> Daemon {
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$1\" --config \"$2\""]);
        shell.arg(env!("CARGO_BIN_EXE_sidegate")).arg(command).arg(self.path().join(config)).stdin(Stdio::from(socket));
        self.spawn_daemon(shell, config)
    }

    /// Starts a command that becomes a daemon, and waits until it says that it serves. Its log is named by its configuration.
    pub fn spawn_daemon(&self, mut command: Command, config: &str) -> Daemon {
        let notify = self.path().join(format!("notify-{config}"));
        let _ = fs::remove_file(&notify);
        let notified = UnixDatagram::bind(&notify).unwrap();
        fs::set_permissions(&notify, fs::Permissions::from_mode(0o666)).unwrap();
        notified.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let log = self.path().join(format!("{config}.log"));
        let out = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command.env("NOTIFY_SOCKET", &notify).stdout(Stdio::null()).stderr(out).spawn().unwrap();
        let mut daemon = Daemon { child, log, notify_socket: notified };
        daemon.wait_for_notification("READY=1");
        daemon
    }

    /// Starts a daemon that must refuse to run; gives what it said.
    pub fn start_expecting_failure(&self, command: &str, config: &str) -> String {
        let output = self.run_sidegate(&[command, "--config", self.path().join(config).to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "it should not have started");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs `sidegate` with these words to its end.
    pub fn run_sidegate(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sidegate")).args(words).stdin(Stdio::null()).output().unwrap()
    }

    /// The same, not waited for.
    pub fn spawn_sidegate(&self, words: &[&str]) -> std::process::Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// `sidegate admin …` on our primary.
    pub fn run_admin(&self, words: &[&str]) -> Output {
        let socket = self.primary_socket();
        let mut all = vec!["admin", "--socket", socket.to_str().unwrap()];
        all.extend(words);
        self.run_sidegate(&all)
    }

    /// Applies a directory file that must be good; returns what was said.
    pub fn apply(&self, directory: &str) -> String {
        self.apply_with_args(directory, &[])
    }

    /// The same with more words, as `--prune`.
    pub fn apply_with_args(&self, directory: &str, words: &[&str]) -> String {
        let file = self.write("directory.jsonl", directory);
        let mut all = vec!["apply", file.to_str().unwrap()];
        all.extend(words);
        let output = self.run_admin(&all);
        assert!(output.status.success(), "apply: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The helper that sshd starts, in the environment's own folder, where sshd takes it from.
    pub fn helper_path(&self) -> PathBuf {
        let helper = self.path().join("sidegate-authorized-keys");
        if !helper.exists() {
            fs::copy(env!("CARGO_BIN_EXE_sidegate-authorized-keys"), &helper).unwrap();
            fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
        }
        helper
    }

    /// What the helper prints for a blob, as sshd would start it. It must end well.
    pub fn run_helper(&self, blob: &str) -> String {
        let socket = self.sidecar_socket();
        let output = Command::new(self.helper_path()).arg("--socket").arg(socket).args(["git", "git", blob]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let expected_code = i32::from(text.starts_with("# sidegate: "));
        assert!(output.status.code() == Some(expected_code) && output.stderr.is_empty(), "{}: {text}", output.status);
        text
    }

    /// What `sidegate status` prints of the sidecar, and its exit code.
    pub fn status_screen(&self) -> (String, Option<i32>) {
        let output = self.run_sidegate(&["status", "--socket", self.sidecar_socket().to_str().unwrap()]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    /// The sidecar's own status.
    pub fn status(&self) -> Value {
        Request::get("/-/admin/status").send(&self.sidecar_socket()).json()
    }

    /// The primary's own status.
    pub fn primary_status(&self) -> Value {
        Request::get("/-/admin/status").send(&self.primary_socket()).json()
    }

    /// Waits until the sidecar's keys are fresh, and it stands where the primary stands, on its disk too.
    pub fn wait_until_fresh(&self) {
        self.wait_for("the sidecar to be where the primary is", || {
            let (here, there) = (self.status(), self.primary_status());
            here["freshness"]["keys"]["state"] == "fresh"
                && here["follower"]["cursor"]["digest"].is_string()
                && here["follower"]["cursor"]["digest"] == there["head"]["digest"]
                && here["follower"]["cursor"]["seq"] == there["head"]["seq"]
                && here["follower"]["acknowledged"]["seq"] == there["head"]["seq"]
                && here["follower"]["whole"] == true
        });
    }

    /// Waits until the sidecar is proven to be where the primary is, by an exchange of clocks, on its disk too, and has no more to do: from
    /// then on it may say no by itself while its keys are fresh.
    pub fn wait_until_caught_up(&self) {
        self.wait_for("the sidecar to be caught up", || {
            let (here, head) = (self.status(), self.primary_status()["head"].clone());
            let follower = &here["follower"];
            ["cursor", "acknowledged"].iter().all(|place| follower[place]["seq"] == head["seq"])
                && follower["cursor"]["epoch"] == head["epoch"]
                && follower["whole"] == true
                && follower["caught_up"] == true
                && follower["proof"] == "exchange"
                && follower["resyncing"].is_null()
        });
    }

    /// Waits until something is so, looking again and again; fails with both logs if it never is.
    pub fn wait_for(&self, what: &str, so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < TIMEOUT, "waited in vain for {what}\n{}", self.logs());
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Both logs.
    pub fn logs(&self) -> String {
        let log = |daemon: &Option<Daemon>| daemon.as_ref().map(Daemon::log).unwrap_or_default();
        format!("--- primary\n{}\n--- sidecar\n{}", log(&self.primary), log(&self.sidecar))
    }

    /// A fresh token of gitlab-shell's.
    pub fn shell_token(&self) -> String {
        issue_token(Issuer::GitlabShell, None, &Secret::from_bytes(SHELL_SECRET.as_bytes()).unwrap(), clock::wall_time())
    }

    /// A fresh token of a follower's.
    pub fn sync_token(&self, host: &str) -> String {
        issue_token(Issuer::Follower, Some(host), &Secret::from_bytes(SYNC_SECRET.as_bytes()).unwrap(), clock::wall_time())
    }

    /// The shared secret itself.
    pub fn shared_secret(&self) -> &'static str {
        SHELL_SECRET
    }

    /// Asks the sidecar with a token.
    pub fn request_sidecar(&self, request: Request) -> Response {
        request.header("Gitlab-Shell-Api-Request", &self.shell_token()).send(&self.sidecar_socket())
    }

    /// Asks the primary with a token.
    pub fn request_primary(&self, request: Request) -> Response {
        request.header("Gitlab-Shell-Api-Request", &self.shell_token()).send(&self.primary_socket())
    }
}

impl Daemon {
    /// Waits until it tells systemd this line, and returns all lines up to it.
    pub fn wait_for_notification(&mut self, line: &str) -> Vec<String> {
        self.wait_for_notification_like(line, |message| message == line)
    }

    /// The same for the first line that is as it is wanted.
    pub fn wait_for_notification_like(&mut self, line: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let begun = Instant::now();
        let mut lines = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = self.notify_socket.recv(&mut buffer) {
                lines.extend(String::from_utf8_lossy(&buffer[..length]).lines().map(str::to_owned));
                if lines.iter().any(|message| is_wanted(message)) {
                    return lines;
                }
            } else if let Some(status) = self.child.try_wait().unwrap() {
                panic!("it ended with {status} before it said {line}:\n{}", self.log());
            }
            assert!(begun.elapsed() < TIMEOUT, "it never says {line}:\n{}", self.log());
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, as systemd does, and waits for its end.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.child.wait().unwrap()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Resident memory now, and at its highest, in KiB.
    pub fn memory_kib(&self) -> [u64; 2] {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}
