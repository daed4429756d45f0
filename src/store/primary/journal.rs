//! The primary's journal: the last commits, each written in the batch that makes it.
//!
//! ```text
//! 03                     checksum and JSON: where the journal begins, how many bytes it holds
//! 03 <seq> <part>        a commit: checksum, length, digest, count, changes; cut into parts of 32 KiB
//! change                 00 length text: put | 01 id: delete of a key | 02 length sort-key length text: any other delete
//! ```
//! Lengths are 4 bytes and numbers 8, big-endian. Commits are cut into parts because sled stores values larger than 128 KiB in
//! files of their own, which it neither syncs nor removes soon.
//!
//! The journal begins after its base, the oldest head that a follower can continue from. Trimming moves the base; commits before
//! it are removed a few with each commit, so that no batch gets large.

use serde::{Deserialize, Serialize};

use crate::model::change::{Change, Commit, Head};
use crate::model::digest::{Digest, DirectoryDigest};
use crate::model::id::Id;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::pages::page::compute_checksum;
use crate::store::pages::stored_record::parse_entry;

const KEY_PREFIX: u8 = 3;
const JOURNAL_HEADER_KEY: &[u8] = &[KEY_PREFIX];
const PART_BYTES: usize = 32 << 10;
/// The most parts before the base that one batch removes: more than a commit of the usual size adds.
const MAX_REMOVED_PARTS: usize = 400;

/// How long a journal may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalLimits {
    /// The most commits.
    pub max_commits: u64,
    /// The most bytes of commits.
    pub max_bytes: u64,
}

/// The journal's header: where it begins and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The head before its first commit.
    pub base: Head,
    /// The bytes of the commits after the base.
    pub bytes: u64,
}

impl Journal {
    /// Creates an empty journal that begins at a head.
    pub const fn starting_at(base: Head) -> Self {
        Self { base, bytes: 0 }
    }

    /// Reads the header from the database.
    pub fn load(database: &Database) -> Result<Self, StoreError> {
        let bytes = database.read(JOURNAL_HEADER_KEY)?.ok_or_else(|| StoreError("the journal lost its beginning".to_owned()))?;
        let (checksum, json) = bytes.split_at_checked(4).ok_or_else(|| StoreError("the journal's beginning is cut short".to_owned()))?;
        if checksum != compute_checksum(JOURNAL_HEADER_KEY, json) {
            return Err(StoreError("the journal's beginning is damaged".to_owned()));
        }
        serde_json::from_slice(json).map_err(|error| StoreError(format!("the journal's beginning cannot be read: {error}")))
    }

    /// Returns the write that stores the header.
    pub fn encode_header(&self) -> Result<KeyWrite, StoreError> {
        let json = serde_json::to_vec(self).map_err(|error| StoreError(error.to_string()))?;
        Ok((JOURNAL_HEADER_KEY.to_vec(), Some([compute_checksum(JOURNAL_HEADER_KEY, &json).as_slice(), &json].concat())))
    }

    /// Returns the journal with one more commit, trimmed to the limits, and the writes for it.
    pub fn append(mut self, database: &Database, commit: &Commit, limits: JournalLimits) -> Result<(Self, Vec<KeyWrite>), StoreError> {
        let bytes = encode_commit(commit)?;
        self.bytes += bytes.len() as u64;
        while self.base.seq < commit.seq && (commit.seq - self.base.seq > limits.max_commits || self.bytes > limits.max_bytes) {
            let seq = self.base.seq + 1;
            let (state, length) = if seq == commit.seq {
                (commit.state, bytes.len() as u64)
            } else {
                read_commit_header(database, seq)?.ok_or_else(|| lost_commit(seq))?
            };
            self.base = Head { epoch: self.base.epoch, seq, state };
            self.bytes = self.bytes.saturating_sub(length);
        }
        let mut writes = vec![self.encode_header()?];
        for (part, chunk) in bytes.chunks(PART_BYTES).enumerate() {
            let part = u32::try_from(part).map_err(|_| StoreError("a commit of too many parts".to_owned()))?;
            writes.push((part_key(commit.seq, part), Some(chunk.to_vec())));
        }
        writes.extend(self.trim_writes(database)?);
        Ok((self, writes))
    }

    /// Returns the writes that remove some of the commits before the base.
    pub fn trim_writes(&self, database: &Database) -> Result<Vec<KeyWrite>, StoreError> {
        let first = part_key(self.base.seq.saturating_add(1), 0);
        let mut removed: Vec<KeyWrite> = Vec::new();
        let mut after = JOURNAL_HEADER_KEY.to_vec();
        while removed.len() < MAX_REMOVED_PARTS {
            match database.first_after(&after)? {
                Some((key, _)) if key.as_ref() < first.as_slice() => after = key.to_vec(),
                _ => break,
            }
            removed.push((after.clone(), None));
        }
        Ok(removed)
    }
}

/// Returns the size of a commit with these changes, in bytes.
pub fn encoded_size(changes: &[Change]) -> usize {
    let each = changes.iter().map(|change| match change {
        Change::Put(entry) => entry.text().len() + 5,
        Change::Delete(RecordIdentity::Key(_)) => 9,
        Change::Delete(RecordIdentity::Other(sort_key, text)) => sort_key.as_bytes().len() + text.len() + 9,
    });
    each.sum()
}

/// Reads a commit of the journal; `None` if it is not there.
pub fn read_commit(database: &Database, seq: u64) -> Result<Option<Commit>, StoreError> {
    let Some(mut bytes) = database.read(&part_key(seq, 0))?.map(|first| first.to_vec()) else { return Ok(None) };
    let damaged = || StoreError(format!("commit {seq} of the journal is damaged"));
    let length = CommitReader(bytes.get(4..).unwrap_or_default()).read_length().ok_or_else(damaged)?;
    for part in 1_u32.. {
        if bytes.len() >= length {
            break;
        }
        bytes.extend_from_slice(&database.read(&part_key(seq, part))?.ok_or_else(damaged)?);
    }
    let (checksum, rest) = bytes.split_at_checked(4).ok_or_else(damaged)?;
    if checksum != compute_checksum(&part_key(seq, 0), rest) || bytes.len() != length {
        return Err(damaged());
    }
    let mut reader = CommitReader(rest.get(4..).unwrap_or_default());
    let state = reader.read_state().ok_or_else(damaged)?;
    let mut changes = Vec::new();
    while !reader.0.is_empty() {
        changes.push(reader.read_change(seq)?);
    }
    Ok(Some(Commit { seq, state, changes }))
}

/// Reads what the directory added up to after a commit, without reading its changes; `None` if the commit is not there.
pub fn read_commit_state(database: &Database, seq: u64) -> Result<Option<DirectoryDigest>, StoreError> {
    Ok(read_commit_header(database, seq)?.map(|(state, _)| state))
}

/// Reads the state after a commit, and the commit's size in bytes.
fn read_commit_header(database: &Database, seq: u64) -> Result<Option<(DirectoryDigest, u64)>, StoreError> {
    let Some(bytes) = database.read(&part_key(seq, 0))? else { return Ok(None) };
    let mut reader = CommitReader(bytes.get(4..).unwrap_or_default());
    let header = reader.read_length().zip(reader.read_state()).map(|(length, state)| (state, length as u64));
    header.map(Some).ok_or_else(|| lost_commit(seq))
}

fn lost_commit(seq: u64) -> StoreError {
    StoreError(format!("commit {seq} of the journal is lost"))
}

fn part_key(seq: u64, part: u32) -> Vec<u8> {
    [&[KEY_PREFIX], seq.to_be_bytes().as_slice(), &part.to_be_bytes()].concat()
}

fn encode_commit(commit: &Commit) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; 8];
    bytes.extend_from_slice(&commit.state.digest.bytes());
    bytes.extend_from_slice(&commit.state.count.to_be_bytes());
    for change in &commit.changes {
        match change {
            Change::Put(entry) => {
                bytes.push(0);
                write_slice(&mut bytes, entry.text().as_bytes())?;
            }
            Change::Delete(RecordIdentity::Key(id)) => {
                bytes.push(1);
                bytes.extend_from_slice(&id.bytes());
            }
            Change::Delete(RecordIdentity::Other(sort_key, text)) => {
                bytes.push(2);
                write_slice(&mut bytes, sort_key.as_bytes())?;
                write_slice(&mut bytes, text.as_bytes())?;
            }
        }
    }
    let length = encode_length(bytes.len())?;
    bytes[4..8].copy_from_slice(&length);
    let checksum = compute_checksum(&part_key(commit.seq, 0), &bytes[4..]);
    bytes[..4].copy_from_slice(&checksum);
    Ok(bytes)
}

fn write_slice(bytes: &mut Vec<u8>, slice: &[u8]) -> Result<(), StoreError> {
    bytes.extend_from_slice(&encode_length(slice.len())?);
    bytes.extend_from_slice(slice);
    Ok(())
}

fn encode_length(length: usize) -> Result<[u8; 4], StoreError> {
    u32::try_from(length).map(u32::to_be_bytes).map_err(|_| StoreError("a commit of more than 4 GiB".to_owned()))
}

struct CommitReader<'a>(&'a [u8]);

impl<'a> CommitReader<'a> {
    fn read_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn read_length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.read_array()?)).ok()
    }

    fn read_slice(&mut self) -> Option<&'a [u8]> {
        let length = self.read_length()?;
        let (slice, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(slice)
    }

    fn read_text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.read_slice()?).ok()
    }

    fn read_state(&mut self) -> Option<DirectoryDigest> {
        let digest = Digest::from_bytes(&self.read_array()?);
        Some(DirectoryDigest { digest, count: u64::from_be_bytes(self.read_array()?) })
    }

    fn read_change(&mut self, seq: u64) -> Result<Change, StoreError> {
        let damaged = || StoreError(format!("commit {seq} of the journal is damaged"));
        let [tag] = self.read_array().ok_or_else(damaged)?;
        match tag {
            0 => Ok(Change::Put(parse_entry(self.read_text().ok_or_else(damaged)?)?)),
            1 => {
                let id = self.read_array().map(u64::from_be_bytes).and_then(|number| Id::try_from(number).ok());
                Ok(Change::Delete(RecordIdentity::Key(id.ok_or_else(damaged)?)))
            }
            2 => {
                let sort_key = self.read_slice().map(SortKey::from_bytes).ok_or_else(damaged)?;
                Ok(Change::Delete(RecordIdentity::Other(sort_key, self.read_text().ok_or_else(damaged)?.into())))
            }
            _ => Err(damaged()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, JournalLimits, PART_BYTES, read_commit};
    use crate::model::change::{Change, Commit, Epoch, Head};
    use crate::model::digest::DirectoryDigest;
    use crate::model::record_identity::RecordIdentity;
    use crate::model::sort_key::SortKey;
    use crate::store::database::Database;
    use crate::store::tests::sample_records::{entry, key_line};

    const PLENTY: JournalLimits = JournalLimits { max_commits: 1_000, max_bytes: 1 << 30 };

    fn empty_journal() -> Journal {
        Journal::starting_at(Head { epoch: Epoch(1), seq: 10, state: DirectoryDigest::default() })
    }

    fn commit(seq: u64, puts: u64) -> Commit {
        let mut changes = vec![
            Change::Delete(RecordIdentity::Key(9.try_into().unwrap())),
            Change::Delete(RecordIdentity::Other(SortKey::settings(), r#"{"kind":"settings"}"#.into())),
        ];
        changes.extend((1..=puts).map(|number| Change::Put(entry(&key_line(number, number, "title")))));
        Commit { seq, state: DirectoryDigest { count: seq, ..DirectoryDigest::default() }, changes }
    }

    fn write(database: &Database, journal: Journal, commit: &Commit, limits: JournalLimits) -> Journal {
        let (journal, writes) = journal.append(database, commit, limits).unwrap();
        database.write_batch(writes).unwrap();
        assert_eq!(Journal::load(database), Ok(journal));
        journal
    }

    #[test]
    fn a_commit_reads_as_it_was_written_also_in_many_parts() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        let mut journal = empty_journal();
        for (seq, puts) in [(11, 0), (12, 1), (13, 900)] {
            journal = write(&database, journal, &commit(seq, puts), PLENTY);
            assert_eq!(read_commit(&database, seq), Ok(Some(commit(seq, puts))));
        }
        assert!(super::encode_commit(&commit(13, 900)).unwrap().len() > 3 * PART_BYTES);
        assert_eq!(read_commit(&database, 14), Ok(None));
    }

    #[test]
    fn the_oldest_commits_are_removed_when_there_are_too_many_or_too_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        let mut journal = empty_journal();
        for seq in 11..=20 {
            journal = write(&database, journal, &commit(seq, 1), JournalLimits { max_commits: 3, ..PLENTY });
        }
        assert_eq!((journal.base.seq, journal.base.state.count), (17, 17));
        assert_eq!(read_commit(&database, 17), Ok(None));
        let one = super::encode_commit(&commit(18, 1)).unwrap().len() as u64;
        assert_eq!(journal.bytes, 3 * one);
        journal = write(&database, journal, &commit(21, 1), JournalLimits { max_bytes: one * 2, ..PLENTY });
        assert_eq!((journal.base.seq, journal.bytes), (19, 2 * one));
        // A commit larger than the limit: the journal is empty, and begins at the head.
        journal = write(&database, journal, &commit(22, 900), JournalLimits { max_bytes: one * 2, ..PLENTY });
        assert_eq!((journal.base.seq, journal.bytes), (22, 0));
    }
}
