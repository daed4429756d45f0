//! A backup of a primary as text: what its store holds, in lines, with a checksum at the end.
//!
//! ```text
//! {"format":"sidegate-backup","version":1,"made_at":…,"epoch":…,"seq":…,"digest":…,"count":…}
//! {"kind":…}                            each published record, in the order of a snapshot
//! {"private":["<key>","<value>"]}       each entry of the private store, in Base64, in the order of the keys
//! {"end":true,"records":…,"private":…,"sha256":…}
//! ```
//! The checksum is that of all lines before the last one. A file without its last line was cut short; one with another checksum, count or
//! order is damaged. Neither gives a backup.

use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::change::Epoch;
use crate::model::digest::{Digest, DirectoryDigest};
use crate::model::entry::Entry;
use crate::model::sort_key::SortKey;
use crate::model::time::Time;

const FORMAT: &str = "sidegate-backup";
const VERSION: u32 = 1;
/// The longest line, in bytes; the largest value of a private store is far smaller.
pub const MAX_BACKUP_LINE_BYTES: usize = 64 << 20;

/// What a backup is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupHeader {
    /// When it was made.
    pub made_at: Time,
    /// The epoch of the store then.
    pub epoch: Epoch,
    /// The number of the last commit in it.
    pub seq: u64,
    /// What its published records add up to.
    pub state: DirectoryDigest,
}

/// What a whole backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupCounts {
    /// Published records.
    pub records: u64,
    /// Entries of the private store.
    pub private_entries: u64,
}

/// Something in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupItem {
    /// A published record.
    Record(Entry),
    /// An entry of the private store: its key and its value.
    Private(Vec<u8>, Vec<u8>),
}

/// Why a file is not a whole backup. Nothing of it may be used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Its beginning is that of no backup.
    #[error("line 1: this is not a backup of a primary: {0}; name a file that `sidegate admin backup` wrote")]
    NotABackup(String),
    /// It was made by a later version.
    #[error("line 1: this backup has the format {0}, and this version reads {VERSION}; restore it with the version that made it")]
    Version(u32),
    /// It has no last line.
    #[error("line {line}: the backup ends here, before its checksum: it was cut short; use another")]
    CutShort {
        /// The number of the line after the last, from 1.
        line: u64,
    },
    /// It is not what was written.
    #[error("line {line}: the backup is damaged: {reason}; use another")]
    Damaged {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// The file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
struct HeaderLine {
    format: String,
    version: u32,
    made_at: Time,
    epoch: Epoch,
    seq: u64,
    digest: Digest,
    count: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateLine {
    private: (String, String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: bool,
    records: u64,
    private: u64,
    sha256: Digest,
}

/// Writes a backup.
pub struct BackupWriter<W> {
    out: W,
    hash: Sha256,
    counts: BackupCounts,
}

impl<W: Write> BackupWriter<W> {
    /// Begins a backup. The records follow in the order of a snapshot, then the private entries in the order of their keys.
    pub fn begin(out: W, header: &BackupHeader) -> io::Result<Self> {
        let mut writer = Self { out, hash: Sha256::new(), counts: BackupCounts { records: 0, private_entries: 0 } };
        let BackupHeader { made_at, epoch, seq, state } = *header;
        let (format, digest, count) = (FORMAT.to_owned(), state.digest, state.count);
        writer.write_line(&serde_json::to_string(&HeaderLine { format, version: VERSION, made_at, epoch, seq, digest, count })?)?;
        Ok(writer)
    }

    /// Writes a published record, as it is stored.
    pub fn write_record(&mut self, text: &str) -> io::Result<()> {
        self.counts.records += 1;
        self.write_line(text)
    }

    /// Writes an entry of the private store.
    pub fn write_private(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.counts.private_entries += 1;
        let line = PrivateLine { private: (STANDARD.encode(key), STANDARD.encode(value)) };
        self.write_line(&serde_json::to_string(&line)?)
    }

    /// Writes the last line, and returns what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        let sha256 = Digest::from_bytes(&self.hash.clone().finalize().into());
        let BackupCounts { records, private_entries } = self.counts;
        let end = EndLine { end: true, records, private: private_entries, sha256 };
        self.write_line(&serde_json::to_string(&end)?)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        if line.len() > MAX_BACKUP_LINE_BYTES {
            return Err(io::Error::other(format!(
                "an entry is longer than {MAX_BACKUP_LINE_BYTES} bytes, the longest that a backup may hold"
            )));
        }
        for bytes in [line.as_bytes(), b"\n"] {
            self.hash.update(bytes);
            self.out.write_all(bytes)?;
        }
        Ok(())
    }
}

/// Reads a backup, one item at a time, and checks it: what was read before the end may be used only once the end was read.
pub struct BackupReader<R> {
    reader: R,
    header: BackupHeader,
    line: u64,
    buffer: Vec<u8>,
    hash: Sha256,
    counts: BackupCounts,
    state: DirectoryDigest,
    last_record: Option<SortKey>,
    last_private: Option<Vec<u8>>,
    is_at_end: bool,
}

impl<R: BufRead> BackupReader<R> {
    /// Reads the first line.
    pub fn begin(mut reader: R) -> Result<Self, BackupError> {
        let mut buffer = Vec::new();
        reader.by_ref().take(MAX_BACKUP_LINE_BYTES as u64).read_until(b'\n', &mut buffer)?;
        let line: HeaderLine = serde_json::from_slice(&buffer).map_err(|error| BackupError::NotABackup(error.to_string()))?;
        let HeaderLine { format, version, made_at, epoch, seq, digest, count } = line;
        match (format.as_str(), version) {
            (FORMAT, VERSION) => {}
            (FORMAT, other) => return Err(BackupError::Version(other)),
            (other, _) => return Err(BackupError::NotABackup(format!("its format is `{other}`"))),
        }
        let header = BackupHeader { made_at, epoch, seq, state: DirectoryDigest { digest, count } };
        Ok(Self {
            reader,
            header,
            line: 1,
            hash: Sha256::new_with_prefix(&buffer),
            buffer,
            counts: BackupCounts { records: 0, private_entries: 0 },
            state: DirectoryDigest::default(),
            last_record: None,
            last_private: None,
            is_at_end: false,
        })
    }

    /// Returns what the backup is of.
    #[must_use]
    pub const fn header(&self) -> &BackupHeader {
        &self.header
    }

    /// Returns what was read so far: all of the backup once [`Self::next_item`] has returned `None`.
    #[must_use]
    pub const fn counts(&self) -> BackupCounts {
        self.counts
    }

    /// Returns the next record or private entry; `None` at the end of a whole backup.
    pub fn next_item(&mut self) -> Result<Option<BackupItem>, BackupError> {
        if self.is_at_end {
            return Ok(None);
        }
        self.read_line()?;
        let text = std::str::from_utf8(&self.buffer).map_err(|_| self.damaged("it is not UTF-8"))?;
        let text = text.strip_suffix('\n').unwrap_or(text).to_owned();
        let item = if text.starts_with("{\"end\":") {
            self.check_end(&text)?;
            self.is_at_end = true;
            return Ok(None);
        } else if text.starts_with("{\"private\":") {
            self.parse_private(&text)?
        } else {
            self.parse_record(&text)?
        };
        self.hash.update(&self.buffer);
        Ok(Some(item))
    }

    fn read_line(&mut self) -> Result<(), BackupError> {
        self.buffer.clear();
        self.line += 1;
        let limited = &mut self.reader.by_ref().take(MAX_BACKUP_LINE_BYTES as u64 + 1);
        limited.read_until(b'\n', &mut self.buffer)?;
        match self.buffer.last() {
            Some(b'\n') => Ok(()),
            Some(_) if self.buffer.len() > MAX_BACKUP_LINE_BYTES => Err(self.damaged("the line is longer than any of a backup")),
            _ => Err(BackupError::CutShort { line: self.line }),
        }
    }

    fn parse_record(&mut self, text: &str) -> Result<BackupItem, BackupError> {
        let entry = Entry::parse(text).map_err(|error| self.damaged(&error.to_string()))?;
        if entry.text() != text {
            return Err(self.damaged("the record is not as it was stored"));
        }
        if self.last_private.is_some() || self.last_record.as_ref().is_some_and(|last| last >= entry.sort_key()) {
            return Err(self.damaged("a record is not in its place"));
        }
        self.last_record = Some(entry.sort_key().clone());
        self.state = self.state.with_record(text.as_bytes());
        self.counts.records += 1;
        Ok(BackupItem::Record(entry))
    }

    fn parse_private(&mut self, text: &str) -> Result<BackupItem, BackupError> {
        let line: PrivateLine = serde_json::from_str(text).map_err(|error| self.damaged(&error.to_string()))?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| self.damaged(&error.to_string()));
        let (key, value) = (decode(&line.private.0)?, decode(&line.private.1)?);
        if self.last_private.as_ref().is_some_and(|last| *last >= key) {
            return Err(self.damaged("a private entry is not in its place"));
        }
        self.last_private = Some(key.clone());
        self.counts.private_entries += 1;
        Ok(BackupItem::Private(key, value))
    }

    fn check_end(&mut self, text: &str) -> Result<(), BackupError> {
        let end: EndLine = serde_json::from_str(text).map_err(|error| self.damaged(&error.to_string()))?;
        let counted = BackupCounts { records: end.records, private_entries: end.private };
        if !end.end || counted != self.counts {
            return Err(self.damaged("it holds another number of entries than were written"));
        }
        if end.sha256 != Digest::from_bytes(&self.hash.clone().finalize().into()) {
            return Err(self.damaged("its checksum is another"));
        }
        if self.state != self.header.state {
            return Err(self.damaged("its records do not add up to the digest of its first line"));
        }
        let mut rest = [0];
        match self.reader.read(&mut rest)? {
            0 => Ok(()),
            _ => Err(self.damaged("something follows its last line")),
        }
    }

    fn damaged(&self, reason: &str) -> BackupError {
        BackupError::Damaged { line: self.line, reason: reason.to_owned() }
    }
}

/// Reads a backup to its end, and returns what it is of and how much it holds; or why it is none.
pub fn verify(reader: impl BufRead) -> Result<(BackupHeader, BackupCounts), BackupError> {
    let mut backup = BackupReader::begin(reader)?;
    while backup.next_item()?.is_some() {}
    Ok((*backup.header(), backup.counts()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BackupError, BackupHeader, BackupItem, BackupReader, BackupWriter, verify};
    use crate::model::change::Epoch;
    use crate::model::digest::DirectoryDigest;
    use crate::model::time::Time;

    const USERS: [&str; 2] =
        [r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#, r#"{"kind":"user","id":2,"username":"ben","name":"Ben"}"#];

    fn header(records: &[&str]) -> BackupHeader {
        let state = records.iter().fold(DirectoryDigest::default(), |state, text| state.with_record(text.as_bytes()));
        BackupHeader { made_at: Time::EPOCH, epoch: Epoch(7), seq: 3, state }
    }

    fn write(records: &[&str], private: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut writer = BackupWriter::begin(Vec::new(), &header(records)).unwrap();
        records.iter().for_each(|text| writer.write_record(text).unwrap());
        private.iter().for_each(|(key, value)| writer.write_private(key, value).unwrap());
        writer.finish().unwrap()
    }

    fn refusal(bytes: &[u8]) -> String {
        verify(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = write(&USERS, &[(b"a\n", b"\xff"), (b"b", b"")]);
        let mut reader = BackupReader::begin(bytes.as_slice()).unwrap();
        assert_eq!(*reader.header(), header(&USERS));
        let mut items = Vec::new();
        while let Some(item) = reader.next_item().unwrap() {
            items.push(item);
        }
        assert!(matches!(&items[0], BackupItem::Record(entry) if entry.text() == USERS[0]));
        assert_eq!(items[2..], [BackupItem::Private(b"a\n".to_vec(), b"\xff".to_vec()), BackupItem::Private(b"b".to_vec(), Vec::new())]);
        assert_eq!((reader.counts().records, reader.counts().private_entries), (2, 2));
        verify(write(&[], &[]).as_slice()).unwrap();
    }

    #[test]
    fn a_backup_that_was_cut_short_anywhere_is_refused() {
        let bytes = write(&USERS, &[(b"a", b"1")]);
        for length in 0..bytes.len() {
            let error = verify(&bytes[..length]).unwrap_err();
            assert!(matches!(error, BackupError::CutShort { .. } | BackupError::NotABackup(_)), "{length}: {error}");
        }
        assert!(refusal(&[bytes.as_slice(), b"x"].concat()).contains("something follows"));
    }

    #[test]
    fn what_is_missing_moved_or_of_another_version_is_refused_with_its_line() {
        let text = String::from_utf8(write(&USERS, &[(b"a", b"1"), (b"b", b"1")])).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let without = |left_out: usize| {
            let kept = lines.iter().enumerate().filter(|(index, _)| *index != left_out).map(|(_, line)| format!("{line}\n"));
            refusal(kept.collect::<String>().as_bytes())
        };
        assert!(without(0).starts_with("line 1: this is not a backup"), "{}", without(0));
        assert!(without(1).starts_with("line 5: the backup is damaged: it holds another number"), "{}", without(1));
        let swapped = text.replace(lines[1], "X").replace(lines[2], lines[1]).replace('X', lines[2]);
        assert!(refusal(swapped.as_bytes()).starts_with("line 3: the backup is damaged: a record is not in its place"));
        assert!(refusal(text.replace("zoe", "zod").as_bytes()).contains("its checksum is another"));
        assert!(refusal(text.replace("\"version\":1", "\"version\":2").as_bytes()).contains("this version reads 1"));
    }

    proptest! {
        #[test]
        fn one_byte_that_is_another_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = write(&USERS, &[(b"a", b"1"), (b"b", b"two")]);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(verify(bytes.as_slice()).is_err());
        }
    }
}
