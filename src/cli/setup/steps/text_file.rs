//! A file that everybody may read, as a configuration or a certificate. One that somebody else wrote is never replaced.

use std::path::{Path, PathBuf};

use crate::cli::exit_status::CommandError;
use crate::cli::setup::host::ROOT;
use crate::cli::setup::owned_file;
use crate::cli::setup::record::{Entry, Record};
use crate::cli::setup::steps::step::{Applied, Step, StepState, Surroundings};

/// A file of root with mode 0644.
pub struct TextFileStep {
    /// What it is, for the plan.
    pub what: &'static str,
    /// Its path.
    pub path: PathBuf,
    /// Its content.
    pub content: String,
}

const MODE: u32 = 0o644;

impl Step for TextFileStep {
    fn describe(&self) -> String {
        format!("write {}, {}, mode {MODE:04o}, for root", self.path.display(), self.what)
    }

    fn preview(&self) -> Option<String> {
        Some(self.content.clone())
    }

    fn state(&self, around: Surroundings<'_>, record: &Record) -> Result<StepState, CommandError> {
        let path = around.host.path(&self.path);
        let Some(found) = owned_file::read(&path)? else { return Ok(StepState::Needed) };
        if found.content == self.content.as_bytes() {
            let is_whole = found.owner == ROOT && found.mode == MODE;
            return Ok(if is_whole { StepState::Done } else { StepState::Needed });
        }
        if record.written(&self.path) == Some(&owned_file::hash(&found.content)) {
            return Ok(StepState::Needed);
        }
        Err(CommandError(format!(
            "{}: it is there already, and not as setup would write it; move it away to let setup write it, or keep it and finish by hand as \
             docs/install.md says (--dry-run shows what would be written)",
            path.display()
        )))
    }

    fn apply(&self, around: Surroundings<'_>, record: &mut Record) -> Result<Applied, CommandError> {
        let (path, sha256) = (around.host.path(&self.path), owned_file::hash(self.content.as_bytes()));
        let is_foreign = path.exists() && record.written(&self.path).is_none();
        if !is_foreign {
            record.add(around.host, Entry::File { path: self.path.clone(), sha256 })?;
        }
        owned_file::write(&path, self.content.as_bytes(), ROOT, MODE)?;
        Ok(Applied::Whole)
    }
}

/// Removes a file that is as setup wrote it. Returns why it is kept otherwise.
pub fn undo(path: &Path, sha256: &str) -> Result<(), String> {
    match owned_file::remove_as_written(path, sha256) {
        Ok(true) => Ok(()),
        Ok(false) => Err("it was changed after setup".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
