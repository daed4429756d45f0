//! Room on the disk for the copy of a backup: looked for as a whole before anything is written or waits, and then again and again, so that
//! the copy takes no room that a write was promised, and leaves some for the next one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use http::StatusCode;

use crate::api::error::ApiError;
use crate::store::files::folder::is_storage_full;
use crate::store::files::reserved_space::{self, PromisedRoom, WRITE_HEADROOM};

/// After so many bytes the disk is asked again.
const STEP_BYTES: u64 = 4 << 20;
const MIB: u64 = 1 << 20;

/// Refuses a copy of about so many bytes for which the disk has no room: 507, with what is missing. Blocks.
pub fn check(folder: &Path, bytes: u64) -> Result<(), ApiError> {
    let needed = bytes.saturating_add(WRITE_HEADROOM);
    match reserved_space::promise(folder, needed) {
        Err(error) if is_storage_full(&error) => {
            let free = reserved_space::free_bytes(folder).unwrap_or(0);
            // What writes under way were promised counts as taken.
            let missing = needed.saturating_sub(free).max(1);
            Err(ApiError::new(
                StatusCode::INSUFFICIENT_STORAGE,
                format!(
                    "No backup was begun: its copy in {} takes about {} MiB, and {} MiB are free on that disk. At least {} MiB are missing: \
                     make room there and try again.",
                    folder.display(),
                    needed.div_ceil(MIB),
                    free / MIB,
                    missing.div_ceil(MIB)
                ),
            ))
        }
        // What else is wrong with the disk shows when the copy is written.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The file of a copy, which ends with an error before it takes the room of others.
pub struct CopyFile {
    file: File,
    folder: PathBuf,
    /// How much may be written until the disk is asked again.
    left: u64,
    /// What is written until then is nobody else's.
    room: Option<PromisedRoom>,
}

impl CopyFile {
    /// Begins a copy in an empty file on the disk of `folder`.
    pub fn new(file: File, folder: &Path) -> Self {
        Self { file, folder: folder.to_owned(), left: 0, room: None }
    }

    /// Returns the file.
    pub fn into_file(self) -> File {
        self.file
    }

    fn take_room(&mut self) -> io::Result<()> {
        self.room = None;
        match reserved_space::promise(&self.folder, STEP_BYTES + WRITE_HEADROOM) {
            Ok(room) => self.room = Some(room),
            Err(error) if is_storage_full(&error) => return Err(error),
            Err(_) => {}
        }
        self.left = STEP_BYTES;
        Ok(())
    }
}

impl Write for CopyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.take_room()?;
        }
        let piece = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let written = self.file.write(bytes.get(..piece).unwrap_or(bytes))?;
        self.left -= (written as u64).min(self.left);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::CopyFile;
    use crate::store::files::folder::is_storage_full;
    use crate::store::files::reserved_space;
    use crate::store::tests::small_disk::SmallDisk;

    #[test]
    fn a_copy_ends_before_it_takes_what_a_write_was_promised() {
        let folder = tempfile::tempdir().unwrap();
        let Some(_disk) = SmallDisk::mount(folder.path(), 20 << 10) else { return };
        let promised = 8 << 20;
        let _of_a_write = reserved_space::promise(folder.path(), promised).unwrap();
        let mut copy = CopyFile::new(tempfile::tempfile_in(folder.path()).unwrap(), folder.path());
        let error = (0..40).find_map(|_| copy.write_all(&[1; 1 << 20]).err()).unwrap();
        assert!(is_storage_full(&error), "{error}");
        assert!(reserved_space::free_bytes(folder.path()).unwrap() > promised);
    }
}
