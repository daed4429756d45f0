//! A folder of one user, as that for the secrets of a daemon.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::Owner;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};

/// A folder of one user.
pub struct FolderStep {
    /// Its path.
    pub path: PathBuf,
    /// The user.
    pub user: &'static str,
    /// Its permissions.
    pub mode: u32,
}

impl Step for FolderStep {
    fn describe(&self) -> String {
        format!("make the folder {}, mode {:04o}, for {}", self.path.display(), self.mode, self.user)
    }

    fn state(&self, around: Surroundings<'_>, _record: &Record) -> Result<StepState, CommandError> {
        let path = around.host.path(&self.path);
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(StepState::Needed) };
        let owner = around.host.required_user(self.user)?;
        let is_ours = found.is_dir() && Owner { uid: found.uid(), gid: found.gid() } == owner && found.mode() & 0o7777 == self.mode;
        if is_ours {
            return Ok(StepState::Done);
        }
        let what = format!("a folder of {} with mode {:04o} was expected", self.user, self.mode);
        Err(CommandError(format!("{}: {what}; correct its owner and mode, or move it away", path.display())))
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let path = around.host.path(&self.path);
        let failed = |error: std::io::Error| CommandError::with_context(&path.display().to_string(), error);
        let owner = around.host.required_user(self.user)?;
        record.add(around.host, Entry::Folder { path: self.path.clone() })?;
        DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
        chown(&path, Some(owner.uid), Some(owner.gid)).map_err(failed)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(self.mode)).map_err(failed)?;
        Ok(Applied::Whole)
    }
}

/// Removes a folder, if nothing is left in it.
pub fn undo(path: &Path) -> Result<(), String> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Err("files are in it that setup did not write".to_owned()),
        Err(error) => Err(error.to_string()),
        Ok(()) => Ok(()),
    }
}
