//! The secrets of a daemon, loaded from their files, and again when a file changes.

use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::secret_file;
use crate::wire::auth::secret::Secret;

/// Loads one secret. The error names the key of the configuration, the file and the remedy.
pub fn load_secret(key: &str, file: &Path) -> Result<Secret, CommandError> {
    let bytes = secret_file::read(file).map_err(|error| CommandError::with_context(key, error))?;
    Secret::from_bytes(&bytes).map_err(|error| CommandError(format!("{key}: {}: {error}; write a random secret into it", file.display())))
}

/// Loads the secret of KAS, which is the Base64 of 32 bytes.
pub fn load_kas_secret(key: &str, file: &Path) -> Result<Secret, CommandError> {
    let bytes = secret_file::read(file).map_err(|error| CommandError::with_context(key, error))?;
    Secret::from_kas_base64(&bytes).map_err(|error| CommandError(format!("{key}: {}: {error}", file.display())))
}

/// Loads one secret, if the configuration names a file for it.
pub fn load_optional_secret(key: &str, file: Option<&Path>) -> Result<Option<Secret>, CommandError> {
    file.map(|file| load_secret(key, file)).transpose()
}

/// Returns where the file of a secret is, for watching it: a relative path names one of systemd's credentials.
pub fn secret_path(file: &Path) -> PathBuf {
    let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(file));
    match credential {
        Some(path) if file.is_relative() && path.exists() => path,
        _ => file.to_owned(),
    }
}
