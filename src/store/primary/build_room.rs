//! Room on the disk for a directory that is built: looked for again and again while it is written, so that a build that does not fit ends
//! with its reason and without a failed write.

use std::path::{Path, PathBuf};

use crate::store::error::StoreError;
use crate::store::files::folder::is_storage_full;
use crate::store::files::reserved_space::{self, PromisedRoom, WRITE_HEADROOM};

/// After so many bytes of records the disk is asked again.
const STEP_BYTES: u64 = 4 << 20;
/// How many bytes each byte of records takes until the disk is asked again.
const WRITE_AMPLIFICATION: u64 = 3;

/// What was written of one build.
pub struct BuildRoom {
    folder: PathBuf,
    written: u64,
    checked: u64,
    /// What is written until the next check is nobody else's.
    room: Option<PromisedRoom>,
}

impl BuildRoom {
    /// Looks for the room that a build begins with.
    pub fn begin(folder: &Path) -> Result<Self, StoreError> {
        let mut room = Self { folder: folder.to_owned(), written: 0, checked: 0, room: None };
        room.check()?;
        Ok(room)
    }

    /// Counts a record of so many bytes, and refuses it where there is no room for it.
    pub fn add(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.written = self.written.saturating_add(bytes as u64);
        if self.written - self.checked >= STEP_BYTES {
            self.checked = self.written;
            self.check()?;
        }
        Ok(())
    }

    /// The indices come after the records, and are smaller than these.
    fn check(&mut self) -> Result<(), StoreError> {
        let step = if self.written == 0 { 0 } else { STEP_BYTES * WRITE_AMPLIFICATION };
        let needed = WRITE_HEADROOM + step + self.written;
        self.room = None;
        match reserved_space::promise(&self.folder, needed) {
            Ok(room) => {
                self.room = Some(room);
                Ok(())
            }
            Err(error) if is_storage_full(&error) => Err(StoreError::disk_full(&self.folder, needed)),
            Err(_) => Ok(()),
        }
    }
}
