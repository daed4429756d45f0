//! Real logins: an sshd on a loopback port whose `AuthorizedKeysCommand` is the helper.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::unistd::Uid;

use crate::cli::demo::folder::DemoFolder;
use crate::cli::exit_status::CommandError;

const SSHD: &str = "/usr/sbin/sshd";
const SSH: &str = "/usr/bin/ssh";

/// A user with a key pair.
pub struct DemoUser {
    /// The Base64 of the public key's blob.
    pub blob: String,
    /// The file of the private key, if `ssh-keygen` is installed.
    pub private_key: Option<PathBuf>,
}

/// A running sshd that asks the sidecar of the demonstration.
pub struct DemoSshd {
    port: u16,
}

impl DemoSshd {
    /// Starts sshd. Returns `None` if this machine has no sshd, or we are not root.
    pub fn start_if_available(folder: &DemoFolder) -> Result<Option<Self>, CommandError> {
        if !Uid::effective().is_root() || !Path::new(SSHD).exists() || !Path::new(SSH).exists() {
            return Ok(None);
        }
        fs::create_dir_all("/run/sshd").map_err(CommandError::new)?;
        let helper = folder.path().join("sidegate-authorized-keys");
        fs::copy(std::env::current_exe().map_err(CommandError::new)?, &helper).map_err(CommandError::new)?;
        fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).map_err(CommandError::new)?;
        let shell = folder.write_private("gitlab-shell", "#!/bin/sh\necho \"logged in as $1\"\n")?;
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).map_err(CommandError::new)?;
        let host_key = folder.path().join("host_key");
        generate_key(&host_key)?;
        let port = free_port()?;
        let config = folder.write_private("sshd_config", &sshd_config(folder, port, &helper, &shell, &host_key))?;
        let arguments = ["-D".as_ref(), "-e".as_ref(), "-f".as_ref(), config.as_os_str()];
        folder.processes().spawn(Path::new(SSHD), arguments, |command| {
            command.stderr(Stdio::null());
        })?;
        let sshd = Self { port };
        sshd.wait_for_port()?;
        Ok(Some(sshd))
    }

    /// Tries to log in, and returns the output of the session or the last line of the error.
    pub fn try_login(&self, user: &DemoUser) -> String {
        let Some(key) = &user.private_key else { return "has no private key here".to_owned() };
        let port = self.port.to_string();
        let output = Command::new(SSH)
            .args(["-F", "none", "-p", &port, "-i"])
            .arg(key)
            .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1"])
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("refused").to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn wait_for_port(&self) -> Result<(), CommandError> {
        for _ in 0..200 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err(CommandError("sshd did not start to listen".to_owned()))
    }
}

/// Generates a key pair with `ssh-keygen`, and returns the line of the public key.
pub fn generate_key(path: &Path) -> Result<String, CommandError> {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f"]).arg(path).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => fs::read_to_string(path.with_extension("pub")).map_err(CommandError::new),
        Ok(status) => Err(CommandError(format!("ssh-keygen ended with {status}"))),
        Err(error) => Err(CommandError::with_context("ssh-keygen", error)),
    }
}

fn sshd_config(folder: &DemoFolder, port: u16, helper: &Path, shell: &Path, host_key: &Path) -> String {
    format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nAuthorizedKeysFile none\n\
         AuthorizedKeysCommandUser root\nAuthorizedKeysCommand {} --socket {} --shell {} root %u %k\n",
        host_key.display(),
        helper.display(),
        folder.sidecar_socket().display(),
        shell.display(),
    )
}

fn free_port() -> Result<u16, CommandError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(CommandError::new)?;
    listener.local_addr().map(|address| address.port()).map_err(CommandError::new)
}
