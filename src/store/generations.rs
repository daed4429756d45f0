//! A folder of generations: `generations/<n>/`, `CURRENT` naming the one in use, at most one in `quarantine/`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::store::folder::Refused;
use crate::store::generation::{Damage, Generation, Options};

/// The folder, locked against a second process.
pub struct Generations {
    folder: PathBuf,
    options: Options,
}

/// What was found in `CURRENT`.
pub enum Opened {
    /// There is none yet.
    Empty,
    /// It opened.
    Ready(Generation),
    /// It did not open, was of another format, or took too long: moved to quarantine.
    Quarantined(Damage),
}

impl Generations {
    /// Prepares and locks the folder.
    pub fn at(_folder: &Path, _options: Options) -> Result<Self, Refused> {
        todo!()
    }

    /// Opens the current generation within a time limit, on a thread of its own.
    pub fn open_current(&self, _limit: Duration) -> Result<Opened, Refused> {
        todo!()
    }

    /// A free folder for the next generation; leftovers of unfinished ones are removed.
    pub fn next(&self) -> Result<PathBuf, Refused> {
        todo!()
    }

    /// Makes the generation in `folder` the current one: `CURRENT` written, synced, renamed. The one before is removed when
    /// nobody holds it (call [`Generations::sweep`] later).
    pub fn install(&self, _folder: &Path) -> Result<(), Refused> {
        todo!()
    }

    /// Moves the current generation to quarantine; there is none afterwards.
    pub fn quarantine(&self) -> Result<(), Refused> {
        todo!()
    }

    /// Removes generations that are not current.
    pub fn sweep(&self) -> Result<(), Refused> {
        todo!()
    }

    /// The random id of this store, made with it.
    pub fn instance(&self) -> Result<String, Refused> {
        let _ = (&self.folder, &self.options);
        todo!()
    }
}
