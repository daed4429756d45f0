//! The folder a store lives in: ours alone, or refused.

use std::path::{Path, PathBuf};

/// Why a folder or file is refused. Each says the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Of another owner, writable for others, a symlink, not a directory.
    #[error("{path}: {reason}")]
    Unsafe {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The system said no.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Makes the folder (0700) if it is not there; checks owner, mode, symlink.
pub fn prepare(_path: &Path) -> Result<(), Refused> {
    todo!()
}
