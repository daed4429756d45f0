//! The demonstration's folder: configurations and secrets, gone when it ends.

use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::cli::outcome::Failure;

/// A folder of our own. sshd wants every folder above its command to be root's alone, so root's is in `/run`.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes it, with two configurations and two secrets in it.
    pub fn make() -> Result<Self, Failure> {
        let above = if Uid::effective().is_root() && Path::new("/run").is_dir() { PathBuf::from("/run") } else { std::env::temp_dir() };
        let made = tempfile::Builder::new()
            .prefix("sidegate-demo-")
            .tempdir_in(above)
            .map_err(|error| Failure::while_doing("the demonstration's folder", error))?;
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755)).map_err(Failure::of)?;
        let folder = Self(made);
        folder.write("shell_secret", &random_hex()?)?;
        folder.write("sync_secret", &random_hex()?)?;
        folder.write("primary.toml", &folder.primary_config())?;
        folder.write("sidegate.toml", &folder.sidecar_config())?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The primary's socket.
    pub fn primary_socket(&self) -> PathBuf {
        self.path().join("primary.sock")
    }

    /// The sidecar's socket.
    pub fn sidecar_socket(&self) -> PathBuf {
        self.path().join("api.sock")
    }

    /// The configuration of one of the daemons, named by its command.
    pub fn config(&self, command: &str) -> PathBuf {
        self.path().join(if command == "primary" { "primary.toml" } else { "sidegate.toml" })
    }

    /// A file for us alone.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        use std::io::Write as _;
        let path = self.path().join(name);
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(Failure::of)?;
        file.write_all(text.as_bytes()).map_err(Failure::of)?;
        Ok(path)
    }

    /// The secret that gitlab-shell would have.
    pub fn shell_secret(&self) -> Result<String, Failure> {
        fs::read_to_string(self.path().join("shell_secret")).map_err(Failure::of)
    }

    fn primary_config(&self) -> String {
        let folder = self.path().display();
        format!(
            "[socket]\npath = \"{folder}/primary.sock\"\n[auth]\nshell_secret_file = \"{folder}/shell_secret\"\n\
             sync_secret_file = \"{folder}/sync_secret\"\n[store]\npath = \"{folder}/primary\"\n[log]\nlevel = \"error\"\n"
        )
    }

    fn sidecar_config(&self) -> String {
        let folder = self.path().display();
        format!(
            "host = \"demo\"\n[socket]\npath = \"{folder}/api.sock\"\n[auth]\nshell_secret_file = \"{folder}/shell_secret\"\n\
             [primary]\nurl = \"http+unix://{folder}/primary.sock\"\nfeed = \"sidegate\"\nsync_secret_file = \"{folder}/sync_secret\"\n\
             [store]\npath = \"{folder}/sidecar\"\n[log]\nlevel = \"error\"\n"
        )
    }
}

fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Failure::of)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
