//! The secrets of a daemon, out of their files; read again when they change.

use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::secret_file;
use crate::wire::auth::secret::Secret;

/// Reads one secret. The failure names the configuration's key, the file and the remedy.
pub fn load_secret(key: &str, file: &Path) -> Result<Secret, CommandError> {
    let bytes = secret_file::read(file).map_err(|refused| CommandError::with_context(key, refused))?;
    Secret::from_bytes(&bytes).map_err(|empty| CommandError(format!("{key}: {}: {empty}; write a random secret into it", file.display())))
}

/// Reads KAS's secret, which is the Base64 of 32 bytes.
pub fn load_kas_secret(key: &str, file: &Path) -> Result<Secret, CommandError> {
    let bytes = secret_file::read(file).map_err(|refused| CommandError::with_context(key, refused))?;
    Secret::from_kas_base64(&bytes).map_err(|wrong| CommandError(format!("{key}: {}: {wrong}", file.display())))
}

/// Where a secret's file really is, for watching it: systemd's credentials come first.
pub fn secret_path(file: &Path) -> PathBuf {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(file));
    match credential {
        Some(path) if file.is_relative() && path.exists() => path,
        _ => file.to_owned(),
    }
}
