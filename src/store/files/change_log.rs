//! A file that takes a few entries although the disk is full: its space is allocated and written when the file is made, and entries
//! overwrite it in place.
//!
//! ```text
//! 0        magic, round, end (8 bytes each, little-endian), and the SHA-256 of these
//! 4096     entries up to `end`: length (4 bytes), SHA-256 of round, offset and content, content
//! ```
//! The header says where the entries end. A crash while an entry is written leaves the header of before, so half an entry is not seen;
//! what lies before `end` and is not as it was written is damage, and so is a header that is not. The round is raised when the log is
//! cleared, so that an entry of before is never taken for a later one. Each entry is on disk when [`ChangeLog::append`] returns.
//!
//! A file system that never overwrites in place (btrfs, ZFS) may still have no room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::posix_fallocate;
use sha2::{Digest as _, Sha256};

use crate::store::files::folder::{FileError, parent_of, sync_folder};

/// The size of the file, in bytes.
pub const LOG_BYTES: u64 = 1 << 20;

const MAGIC: [u8; 8] = *b"sgchg\0\0\x01";
const HEADER_BYTES: usize = 56;
const ENTRIES_AT: u64 = 4096;
const ENTRY_HEAD_BYTES: usize = 36;

/// An open log. There is one writer.
#[derive(Debug)]
pub struct ChangeLog {
    file: File,
    path: PathBuf,
    round: u64,
    end: u64,
    capacity: u64,
    wanted_bytes: u64,
    is_damaged: bool,
}

/// What a log holds when it is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogContent {
    /// These entries, in the order in which they were appended.
    Entries(Vec<Vec<u8>>),
    /// Something that cannot be read any more.
    Damaged,
}

/// Why an entry was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no room left in the file.
    #[error("the file is full")]
    Full,
    /// The file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ChangeLog {
    /// Opens the log, or makes an empty one of [`LOG_BYTES`]. Fails if there is no room for it.
    pub fn open(path: &Path) -> Result<(Self, LogContent), FileError> {
        Self::open_sized(path, LOG_BYTES)
    }

    fn open_sized(path: &Path, bytes: u64) -> Result<(Self, LogContent), FileError> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Self::read(file, path, bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((Self::create(path, bytes)?, LogContent::Entries(Vec::new()))),
            Err(error) => Err(FileError::io(path)(error)),
        }
    }

    /// Makes the file under another name first, so that one that is there has its space.
    fn create(path: &Path, bytes: u64) -> Result<Self, FileError> {
        let temporary = path.with_extension("new");
        let made = write_empty(&temporary, bytes).inspect_err(|_| {
            let _half = fs::remove_file(&temporary);
        });
        let file = made.map_err(FileError::io(&temporary))?;
        fs::rename(&temporary, path).map_err(FileError::io(path))?;
        sync_folder(parent_of(path))?;
        Ok(Self { file, path: path.to_owned(), round: 1, end: ENTRIES_AT, capacity: bytes, wanted_bytes: bytes, is_damaged: false })
    }

    fn read(file: File, path: &Path, wanted_bytes: u64) -> Result<(Self, LogContent), FileError> {
        let io = || FileError::io(path);
        let capacity = file.metadata().map_err(io())?.len().min(wanted_bytes);
        let mut bytes = vec![0; usize::try_from(capacity).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).map_err(io())?;
        let mut log = Self { file, path: path.to_owned(), round: 1, end: ENTRIES_AT, capacity, wanted_bytes, is_damaged: false };
        let Some((round, end, entries)) = parse(&bytes) else {
            log.is_damaged = true;
            return Ok((log, LogContent::Damaged));
        };
        (log.round, log.end) = (round, end);
        Ok((log, LogContent::Entries(entries)))
    }

    /// Appends an entry; it is on disk when this returns. To a damaged log nothing is added: it stays damaged until it is cleared.
    pub fn append(&mut self, content: &[u8]) -> Result<(), AppendError> {
        if self.is_damaged {
            return Ok(());
        }
        let entry = encode_entry(self.round, self.end, content).ok_or(AppendError::Full)?;
        let end = self.end.saturating_add(entry.len() as u64);
        if end > self.capacity {
            return Err(AppendError::Full);
        }
        self.file.write_all_at(&entry, self.end).map_err(FileError::io(&self.path))?;
        self.write_header(self.round, end)?;
        self.end = end;
        Ok(())
    }

    /// Forgets all entries; the file keeps its space. One that is damaged or was cut is made anew.
    pub fn clear(&mut self) -> Result<(), FileError> {
        if self.is_damaged || self.capacity < self.wanted_bytes {
            *self = Self::create(&self.path, self.wanted_bytes)?;
            return Ok(());
        }
        if self.end > ENTRIES_AT {
            let round = self.round.wrapping_add(1);
            self.write_header(round, ENTRIES_AT)?;
            (self.round, self.end) = (round, ENTRIES_AT);
        }
        Ok(())
    }

    fn write_header(&self, round: u64, end: u64) -> Result<(), FileError> {
        let written = self.file.write_all_at(&encode_header(round, end), 0).and_then(|()| self.file.sync_data());
        written.map_err(FileError::io(&self.path))
    }
}

/// Returns how many bytes of a log an entry with so much content takes.
#[must_use]
pub const fn entry_bytes(content: usize) -> usize {
    content.saturating_add(ENTRY_HEAD_BYTES)
}

/// Returns how many bytes of entries a log has room for.
#[must_use]
pub const fn entries_capacity() -> usize {
    // Both are small constants.
    (LOG_BYTES - ENTRIES_AT) as usize
}

fn write_empty(path: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    posix_fallocate(&file, 0, i64::try_from(bytes).unwrap_or(i64::MAX)).map_err(io::Error::from)?;
    // Written once, so that no file system has to allocate anything when the space is used.
    file.write_all_at(&vec![0; usize::try_from(bytes).unwrap_or(0)], 0)?;
    file.write_all_at(&encode_header(1, ENTRIES_AT), 0)?;
    file.sync_all()?;
    Ok(file)
}

fn encode_header(round: u64, end: u64) -> Vec<u8> {
    let mut header = [MAGIC, round.to_le_bytes(), end.to_le_bytes()].concat();
    let sum = Sha256::digest(&header);
    header.extend_from_slice(&sum);
    header
}

fn encode_entry(round: u64, offset: u64, content: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(content.len()).ok()?;
    let sum = entry_sum(round, offset, content);
    Some([length.to_le_bytes().as_slice(), &sum, content].concat())
}

fn entry_sum(round: u64, offset: u64, content: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(round.to_le_bytes()).chain_update(offset.to_le_bytes()).chain_update(content);
    hash.finalize().into()
}

/// Returns the round, the end and the entries of a whole file; `None` if it is not as it was written.
fn parse(bytes: &[u8]) -> Option<(u64, u64, Vec<Vec<u8>>)> {
    let header = bytes.get(..HEADER_BYTES)?;
    let number = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
    let (round, end) = (number(8)?, number(16)?);
    if header != encode_header(round, end) || end < ENTRIES_AT {
        return None;
    }
    let entries_end = usize::try_from(end).ok()?;
    let mut at = usize::try_from(ENTRIES_AT).ok()?;
    let mut entries = Vec::new();
    bytes.get(..entries_end)?;
    while at < entries_end {
        let length = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        let content_at = at + ENTRY_HEAD_BYTES;
        let content_end = content_at.checked_add(usize::try_from(length).ok()?).filter(|content_end| *content_end <= entries_end)?;
        let content = bytes.get(content_at..content_end)?;
        if bytes.get(at + 4..content_at)? != entry_sum(round, at as u64, content) {
            return None;
        }
        entries.push(content.to_vec());
        at = content_end;
    }
    Some((round, end, entries))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::{AppendError, ChangeLog, ENTRIES_AT, HEADER_BYTES, LOG_BYTES, LogContent, entries_capacity, entry_bytes};

    const SMALL: u64 = 8192;

    fn entries(words: &[&str]) -> LogContent {
        LogContent::Entries(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    fn content(path: &Path) -> LogContent {
        ChangeLog::open_sized(path, SMALL).unwrap().1
    }

    /// A log with three entries, and where they end.
    fn filled(path: &Path) -> usize {
        let (mut log, found) = ChangeLog::open_sized(path, SMALL).unwrap();
        assert_eq!(found, entries(&[]));
        for word in ["one", "second", "the third"] {
            log.append(word.as_bytes()).unwrap();
        }
        usize::try_from(log.end).unwrap()
    }

    #[test]
    fn entries_are_there_after_a_start_until_they_are_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        filled(&path);
        let (mut log, found) = ChangeLog::open_sized(&path, SMALL).unwrap();
        assert_eq!(found, entries(&["one", "second", "the third"]));
        log.append(b"fourth").unwrap();
        assert_eq!(content(&path), entries(&["one", "second", "the third", "fourth"]));
        log.clear().unwrap();
        assert_eq!(content(&path), entries(&[]));
        // As long as the first was: an entry of before follows in the file.
        log.append(b"new").unwrap();
        assert_eq!(content(&path), entries(&["new"]));
    }

    #[test]
    fn the_space_is_there_before_it_is_needed_and_never_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, _) = ChangeLog::open(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.len() == LOG_BYTES && metadata.blocks() * 512 >= LOG_BYTES && metadata.mode() & 0o777 == 0o600);
        let largest = vec![b'x'; entries_capacity() - entry_bytes(0)];
        assert!(matches!(log.append(&[largest.as_slice(), b"x"].concat()), Err(AppendError::Full)));
        log.append(&largest).unwrap();
        assert!(matches!(log.append(b""), Err(AppendError::Full)));
        assert_eq!(fs::metadata(&path).unwrap().len(), LOG_BYTES);
        assert_eq!(ChangeLog::open(&path).unwrap().1, LogContent::Entries(vec![largest]));
    }

    #[test]
    fn a_byte_that_was_flipped_before_the_end_is_damage_and_behind_it_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let end = filled(&path);
        let whole = fs::read(&path).unwrap();
        let entries_at = usize::try_from(ENTRIES_AT).unwrap();
        for at in (0..HEADER_BYTES).chain(entries_at..end) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(content(&path), LogContent::Damaged, "byte {at}");
        }
        for at in (HEADER_BYTES..entries_at).chain(end..end + 100) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(content(&path), entries(&["one", "second", "the third"]), "byte {at}");
        }
    }

    #[test]
    fn a_file_that_was_cut_before_the_end_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let end = filled(&path);
        let whole = fs::read(&path).unwrap();
        for length in (0..end).step_by(7).chain(end - 20..=end + 1) {
            fs::write(&path, &whole[..length]).unwrap();
            let expected = if length < end { LogContent::Damaged } else { entries(&["one", "second", "the third"]) };
            assert_eq!(content(&path), expected, "cut at {length}");
        }
    }

    #[test]
    fn an_entry_that_a_crash_left_half_written_is_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let end = filled(&path);
        let before = fs::read(&path).unwrap();
        ChangeLog::open_sized(&path, SMALL).unwrap().0.append(b"fourth").unwrap();
        let after = fs::read(&path).unwrap();
        for written in 0..entry_bytes("fourth".len()) {
            let mut half = before.clone();
            half[end..end + written].copy_from_slice(&after[end..end + written]);
            fs::write(&path, &half).unwrap();
            let (mut log, found) = ChangeLog::open_sized(&path, SMALL).unwrap();
            assert_eq!(found, entries(&["one", "second", "the third"]), "{written} bytes");
            log.append(b"another").unwrap();
            assert_eq!(content(&path), entries(&["one", "second", "the third", "another"]), "{written} bytes");
        }
    }

    #[test]
    fn a_damaged_log_stays_damaged_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        filled(&path);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        bytes.truncate(20);
        fs::write(&path, &bytes).unwrap();
        let (mut log, found) = ChangeLog::open_sized(&path, SMALL).unwrap();
        assert_eq!(found, LogContent::Damaged);
        log.append(b"more").unwrap();
        assert_eq!(content(&path), LogContent::Damaged);
        log.clear().unwrap();
        assert_eq!(content(&path), entries(&[]));
        log.append(b"more").unwrap();
        assert_eq!(content(&path), entries(&["more"]));
    }

    #[test]
    fn without_room_there_is_no_log_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/log");
        assert!(ChangeLog::open(&path).is_err());
        // More than any file may have.
        let path = folder.path().join("log");
        assert!(ChangeLog::open_sized(&path, u64::MAX).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
