//! The secrets of a daemon, out of their files; read again when they change.

use std::path::{Path, PathBuf};

use crate::cli::outcome::Failure;
use crate::store::secret_file;
use crate::wire::secret::Secret;

/// Reads one secret. The failure names the configuration's key, the file and the remedy.
pub fn read(key: &str, file: &Path) -> Result<Secret, Failure> {
    let bytes = secret_file::read(file).map_err(|refused| Failure::while_doing(key, refused))?;
    Secret::of(&bytes).map_err(|empty| Failure(format!("{key}: {}: {empty}; write a random secret into it", file.display())))
}

/// Reads KAS's secret, which is the Base64 of 32 bytes.
pub fn read_kas(key: &str, file: &Path) -> Result<Secret, Failure> {
    let bytes = secret_file::read(file).map_err(|refused| Failure::while_doing(key, refused))?;
    Secret::of_kas(&bytes).map_err(|wrong| Failure(format!("{key}: {}: {wrong}", file.display())))
}

/// Where a secret's file really is, for watching it: systemd's credentials come first.
pub fn place(file: &Path) -> PathBuf {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(file));
    match credential {
        Some(path) if file.is_relative() && path.exists() => path,
        _ => file.to_owned(),
    }
}
