//! A real sshd on a loopback port whose `AuthorizedKeysCommand` is our helper, and real clients of it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::TIMEOUT;
use crate::support::env::TestEnv;

const SSHD_PATH: &str = "/usr/sbin/sshd";

/// An sshd that runs; ended when dropped.
pub struct Sshd {
    child: Child,
    port: u16,
    log: PathBuf,
}

/// A key pair in files.
pub struct KeyPair {
    pub private_key_path: PathBuf,
    /// The public line without its comment.
    pub public_line: String,
}

impl KeyPair {
    /// By `ssh-keygen`: `kind` is its words for the type, as `rsa -b 4096`.
    pub fn generate(env: &TestEnv, name: &str, kind: &str) -> Self {
        let private = env.path().join(name);
        let _ = fs::remove_file(&private);
        let status = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "test", "-f"])
            .arg(&private)
            .arg("-t")
            .args(kind.split(' '))
            .stdin(Stdio::null())
            .status()
            .expect("ssh-keygen");
        assert!(status.success());
        let public = fs::read_to_string(private.with_extension("pub")).unwrap();
        let line = public.split(' ').take(2).collect::<Vec<_>>().join(" ");
        Self { private_key_path: private, public_line: line }
    }

    /// The Base64 of the public key's blob.
    pub fn blob(&self) -> &str {
        self.public_line.split(' ').nth(1).unwrap()
    }
}

impl Sshd {
    /// Starts an sshd that asks our helper; where it cannot be started, says so and returns `None`: the test has nothing to do.
    pub fn start(env: &TestEnv) -> Option<Self> {
        let shell = forced_command(env, "echo \"forced: $1\"");
        Self::start_with(env, "sshd", &ask_helper(env, &env.helper_path(), &shell))
    }

    /// Starts an sshd that finds keys as `key_source`, lines of its configuration, says.
    pub fn start_with(env: &TestEnv, name: &str, key_source: &str) -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() || !Path::new(SSHD_PATH).exists() {
            eprintln!("SKIPPED: logins through sshd (they need root and {SSHD_PATH})");
            return None;
        }
        fs::create_dir_all("/run/sshd").unwrap();
        let host_key = KeyPair::generate(env, &format!("{name}_host_key"), "ed25519").private_key_path;
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nMaxStartups 100\nLogLevel VERBOSE\n{key_source}",
            host_key.display(),
        );
        let config = env.write(&format!("{name}_config"), &config);
        let log = env.path().join(format!("{name}.log"));
        let child = Command::new(SSHD_PATH)
            .args(["-D", "-e", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut sshd = Self { child, port, log };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(sshd.child.try_wait().unwrap().is_none() && begun.elapsed() < TIMEOUT, "sshd does not start: {}", sshd.log());
            std::thread::yield_now();
        }
        Some(sshd)
    }

    /// Offers these keys in this order; gives what the forced command said, or that the login was refused.
    pub fn login(&self, offered: &[&KeyPair]) -> Option<String> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-p", &self.port.to_string()]);
        for pair in offered {
            ssh.arg("-i").arg(&pair.private_key_path);
        }
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1", "ignored"]);
        let output = ssh.stdin(Stdio::null()).output().expect("ssh");
        if output.status.success() {
            return Some(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        }
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("Permission denied (publickey)"), "neither in nor refused: {message}\n{}", self.log());
        None
    }

    /// What it wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a program for the command that sshd forces.
pub fn forced_command(env: &TestEnv, script: &str) -> PathBuf {
    let shell = env.write("gitlab-shell", &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    shell
}

/// Lines of an sshd's configuration: it asks a helper, and forces a command.
pub fn ask_helper(env: &TestEnv, helper: &Path, shell: &Path) -> String {
    format!(
        "AuthorizedKeysFile none\nAuthorizedKeysCommandUser root\nAuthorizedKeysCommand {} --socket {} --shell {} root %u %k\n",
        helper.display(),
        env.sidecar_socket().display(),
        shell.display(),
    )
}
