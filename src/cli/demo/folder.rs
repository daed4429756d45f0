//! The temporary folder of the demonstration, with configurations and secrets, and the programs that run in it. At its end the programs are
//! killed and the folder is removed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::cli::demo::processes::DemoProcesses;
use crate::cli::exit_status::CommandError;

/// What the sidecar of the demonstration asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// A primary, which it follows.
    Primary,
    /// A GitLab, in front of which it stands.
    Gitlab,
}

/// How often removing the folder is tried: a program that is being killed may still make a file.
const REMOVE_ATTEMPTS: usize = 5;

/// The folder. sshd refuses a command below a folder that others than root can write to, so root's is in `/run`.
pub struct DemoFolder {
    folder: tempfile::TempDir,
    processes: DemoProcesses,
}

impl DemoFolder {
    /// Creates the folder, with two configurations and two secrets in it.
    pub fn create(upstream: Upstream) -> Result<Self, CommandError> {
        let parent = if Uid::effective().is_root() && Path::new("/run").is_dir() { PathBuf::from("/run") } else { std::env::temp_dir() };
        let created = tempfile::Builder::new()
            .prefix("sidegate-demo-")
            .tempdir_in(parent)
            .map_err(|error| CommandError::with_context("the demonstration's folder", error))?;
        fs::set_permissions(created.path(), fs::Permissions::from_mode(0o755)).map_err(CommandError::new)?;
        let folder = Self { folder: created, processes: DemoProcesses::default() };
        folder.write_private("shell_secret", &random_hex()?)?;
        folder.write_private("sync_secret", &random_hex()?)?;
        folder.write_private("primary.toml", &folder.primary_config_toml())?;
        folder.write_private("sidegate.toml", &folder.sidecar_config_toml(upstream))?;
        Ok(folder)
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the programs that run in it.
    pub const fn processes(&self) -> &DemoProcesses {
        &self.processes
    }

    /// Kills the programs and removes the folder.
    pub fn end(&self) -> Result<(), CommandError> {
        self.processes.end();
        let remove = || fs::remove_dir_all(self.path());
        match (0..REMOVE_ATTEMPTS).find_map(|_| remove().ok()) {
            Some(()) => Ok(()),
            None => remove().map_err(|error| CommandError::with_context(&self.path().display().to_string(), error)),
        }
    }

    /// Returns the path of the primary's socket.
    pub fn primary_socket(&self) -> PathBuf {
        self.path().join("primary.sock")
    }

    /// Returns the path of the sidecar's socket.
    pub fn sidecar_socket(&self) -> PathBuf {
        self.path().join("api.sock")
    }

    /// Returns the file of the configuration of the daemon that `command` starts.
    pub fn config_path(&self, command: &str) -> PathBuf {
        self.path().join(if command == "primary" { "primary.toml" } else { "sidegate.toml" })
    }

    /// Writes a file that only we can read, and returns its path.
    pub fn write_private(&self, name: &str, text: &str) -> Result<PathBuf, CommandError> {
        let path = self.path().join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(CommandError::new)?;
        file.write_all(text.as_bytes()).map_err(CommandError::new)?;
        Ok(path)
    }

    /// Returns gitlab-shell's secret.
    pub fn shell_secret(&self) -> Result<String, CommandError> {
        fs::read_to_string(self.path().join("shell_secret")).map_err(CommandError::new)
    }

    fn primary_config_toml(&self) -> String {
        let folder = self.path().display();
        format!(
            "[socket]\npath = \"{folder}/primary.sock\"\n[auth]\nshell_secret_file = \"{folder}/shell_secret\"\n\
             sync_secret_file = \"{folder}/sync_secret\"\n[store]\npath = \"{folder}/primary\"\n[log]\nlevel = \"error\"\n\
             [creation]\nrepositories = \"none\"\n"
        )
    }

    fn sidecar_config_toml(&self, upstream: Upstream) -> String {
        let folder = self.path().display();
        let feed = match upstream {
            Upstream::Primary => "feed = \"sidegate\"",
            // Short enough to watch a removed key being refused.
            Upstream::Gitlab => "feed = \"none\"\n[freshness]\nkeys = { ttl = \"1s\", max_stale = \"24h\" }\nnegative_ttl = \"100ms\"",
        };
        format!(
            "host = \"demo\"\n[socket]\npath = \"{folder}/api.sock\"\n[auth]\nshell_secret_file = \"{folder}/shell_secret\"\n\
             [primary]\nurl = \"http+unix://{folder}/primary.sock\"\nsync_secret_file = \"{folder}/sync_secret\"\n{feed}\n\
             [store]\npath = \"{folder}/sidecar\"\n[log]\nlevel = \"error\"\n"
        )
    }
}

fn random_hex() -> Result<String, CommandError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(CommandError::new)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
