//! A directory file that was parsed: its records in canonical form in a temporary file, and a list of them in the order of a snapshot.
//! Only the list is in memory.

use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_grammar::{self, GrammarError};
use crate::model::sort_key::SortKey;
use crate::model::text::Text;
use crate::model::unpublished::UnpublishedRecord;
use crate::primary::apply::constraints::{Constraints, IntegrityError, RecordOrigin};
use crate::primary::apply::file_errors::FileErrors;
use crate::store::error::StoreError;
use crate::wire::directory::record_lines::{DirectoryFileError, DirectoryRecord, RecordLines};

const BUFFER_BYTES: usize = 1 << 20;

/// The records of a directory file.
pub struct StagedFile {
    file: File,
    /// The length of that file.
    end: u64,
    /// Whether there are users among them.
    pub has_users: bool,
    /// The published records, in the order of a snapshot, each place once.
    pub records: Vec<StagedRecord>,
    /// The ids of the keys among them.
    pub key_ids: HashSet<Id>,
    /// The redirects of the directory that are removed because a project of the file takes their path.
    pub taken_redirects: BTreeSet<SortKey>,
    /// The paths of the namespaces among them.
    pub namespace_paths: HashMap<Id, Text>,
    /// The records that are never published, by their sort keys, with their lines; in memory, since there are few.
    pub unpublished: BTreeMap<Vec<u8>, (usize, UnpublishedRecord)>,
}

/// One record of a directory file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedRecord {
    /// Its place in a snapshot.
    pub sort_key: SortKey,
    /// Its line in the file, from 1.
    pub line: usize,
    offset: u64,
    length: usize,
}

/// Why a directory file is refused.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// A line that is not a record.
    #[error(transparent)]
    Line(#[from] DirectoryFileError),
    /// A field that breaks its grammar.
    #[error("line {line}: {error}")]
    Grammar {
        /// The line of the file, from 1.
        line: usize,
        /// The field, and what is wrong.
        error: GrammarError,
    },
    /// A second record where there can be one, or a reference to nothing.
    #[error(transparent)]
    Integrity(#[from] IntegrityError),
    /// Several of these.
    #[error("{0}")]
    Several(FileErrors),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The temporary file could not be written or read.
    #[error("the file in the store's folder: {0}")]
    Io(#[from] io::Error),
}

impl StagingError {
    /// Adds what is wrong with the file to `errors`, so that the rest of it is looked at too. What has other causes comes back.
    pub fn collect(self, errors: &mut FileErrors) -> Result<(), Self> {
        let line = match &self {
            Self::Line(DirectoryFileError::ReadFailed { .. }) | Self::Io(_) | Self::Store(_) | Self::Several(_) => return Err(self),
            Self::Line(error) => error.line(),
            Self::Grammar { line, .. } => *line,
            Self::Integrity(error) => error.line().unwrap_or(0),
        };
        errors.push(line, self.to_string());
        Ok(())
    }

    /// Fails with all that was collected, if anything was.
    pub fn of_all(errors: FileErrors) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self::Several(errors)) }
    }
}

impl StagedFile {
    /// Reads a directory file, and adds what each published record claims to `constraints`. Blank lines are skipped. The
    /// error names all lines that are wrong by themselves or beside each other.
    pub fn read(mut file: File, temp_dir: &Path, constraints: &mut Constraints) -> Result<Self, StagingError> {
        file.rewind()?;
        let mut texts = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(temp_dir)?);
        let mut staging = Staging::default();
        for numbered in RecordLines::new(BufReader::with_capacity(BUFFER_BYTES, file)) {
            let staged = numbered.map_err(StagingError::from).and_then(|(line, record)| staging.add(line, record, constraints, &mut texts));
            if let Err(error) = staged {
                error.collect(&mut staging.errors)?;
            }
            if staging.errors.is_full() {
                break;
            }
        }
        let Staging { mut records, key_ids, namespace_paths, unpublished, end, has_users, mut errors } = staging;
        records.sort_by(|one, other| one.sort_key.cmp(&other.sort_key));
        let file = texts.into_inner().map_err(io::IntoInnerError::into_error)?;
        let taken_redirects = BTreeSet::new();
        let staged = Self { file, end, records, key_ids, taken_redirects, namespace_paths, unpublished, has_users };
        staged.find_duplicates(&mut errors)?;
        StagingError::of_all(errors)?;
        Ok(staged)
    }

    /// Adds records that no line of the file has, each at the line that it follows from. None may have the sort key of another.
    pub fn insert(&mut self, additions: impl Iterator<Item = (usize, Record)>) -> Result<(), StagingError> {
        let before = self.records.len();
        for (line, record) in additions {
            let text = record.canonical().map_err(|error| unreadable(line, error))?;
            self.file.write_all_at(text.as_bytes(), self.end)?;
            self.records.push(StagedRecord { sort_key: record.sort_key(), line, offset: self.end, length: text.len() });
            self.end += text.len() as u64;
        }
        if self.records.len() > before {
            self.records.sort_by(|one, other| one.sort_key.cmp(&other.sort_key));
        }
        Ok(())
    }

    /// Takes out the records with these sort keys.
    pub fn remove(&mut self, sort_keys: &BTreeSet<SortKey>) {
        if !sort_keys.is_empty() {
            self.records.retain(|record| !sort_keys.contains(&record.sort_key));
        }
    }

    /// Replaces the record with the same sort key, at its line.
    pub fn replace(&mut self, record: &Record) -> Result<(), StagingError> {
        let sort_key = record.sort_key();
        let Ok(index) = self.records.binary_search_by(|other| other.sort_key.cmp(&sort_key)) else { return Ok(()) };
        let Some(place) = self.records.get_mut(index) else { return Ok(()) };
        let line = place.line;
        let text = record.canonical().map_err(|error| unreadable(line, error))?;
        self.file.write_all_at(text.as_bytes(), self.end)?;
        *place = StagedRecord { sort_key, line, offset: self.end, length: text.len() };
        self.end += text.len() as u64;
        Ok(())
    }

    /// Returns the record with this sort key.
    #[must_use]
    pub fn find(&self, sort_key: &SortKey) -> Option<&StagedRecord> {
        self.records.binary_search_by(|record| record.sort_key.cmp(sort_key)).ok().and_then(|index| self.records.get(index))
    }

    /// Returns whether there is a record with this sort key.
    #[must_use]
    pub fn contains(&self, sort_key: &SortKey) -> bool {
        self.find(sort_key).is_some()
    }

    /// Iterates over the records whose sort keys begin with `prefix`.
    pub fn with_prefix<'a>(&'a self, prefix: &SortKey) -> impl Iterator<Item = &'a StagedRecord> + use<'a> {
        let prefix = prefix.as_bytes().to_vec();
        let start = self.records.partition_point(|record| record.sort_key.as_bytes() < prefix.as_slice());
        self.records.iter().skip(start).take_while(move |record| record.sort_key.as_bytes().starts_with(&prefix))
    }

    /// Reads a record again.
    pub fn record(&self, record: &StagedRecord) -> Result<Record, StagingError> {
        Record::parse(&self.text(record)?).map_err(|reason| unreadable(record.line, reason))
    }

    /// Returns a record's canonical text.
    pub fn text(&self, record: &StagedRecord) -> io::Result<String> {
        let mut text = vec![0; record.length];
        self.file.read_exact_at(&mut text, record.offset)?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    fn find_duplicates(&self, errors: &mut FileErrors) -> Result<(), StagingError> {
        for pair in self.records.windows(2) {
            if let [first, second] = pair
                && first.sort_key == second.sort_key
            {
                let what = match self.record(second)? {
                    Record::Key(key) => format!("the key {}", key.key.fingerprint()),
                    other => format!("this {}", other.kind()),
                };
                let duplicate = IntegrityError::Duplicate { line: second.line, what, first: RecordOrigin::Line(first.line) };
                StagingError::from(duplicate).collect(errors)?;
            }
        }
        Ok(())
    }
}

/// What was read of a file so far.
#[derive(Default)]
struct Staging {
    records: Vec<StagedRecord>,
    key_ids: HashSet<Id>,
    namespace_paths: HashMap<Id, Text>,
    unpublished: BTreeMap<Vec<u8>, (usize, UnpublishedRecord)>,
    end: u64,
    has_users: bool,
    errors: FileErrors,
}

impl Staging {
    /// Adds the record of a line, and writes its text to `texts`. One that is refused may be referred to all the same: its line is said
    /// once, not again with each line that names it.
    fn add(
        &mut self,
        line: usize,
        record: DirectoryRecord,
        constraints: &mut Constraints,
        texts: &mut impl io::Write,
    ) -> Result<(), StagingError> {
        let record = match record {
            DirectoryRecord::Published(record) => record,
            DirectoryRecord::Unpublished(record) => return insert_unpublished(&mut self.unpublished, line, record),
        };
        let text = record.canonical().map_err(|error| unreadable(line, error))?;
        texts.write_all(text.as_bytes())?;
        let length = text.len();
        self.records.push(StagedRecord { sort_key: record.sort_key(), line, offset: self.end, length });
        self.end += length as u64;
        match &record {
            Record::User(_) => self.has_users = true,
            Record::Key(key) => drop(self.key_ids.insert(key.id)),
            Record::Namespace(namespace) => drop(self.namespace_paths.insert(namespace.id, namespace.path.clone())),
            _ => {}
        }
        let claimed = constraints.insert(RecordOrigin::Line(line), &record);
        record_grammar::check(&record).map_err(|error| StagingError::Grammar { line, error })?;
        Ok(claimed?)
    }
}

/// Returns the error for a record that was read and cannot be written or read again.
fn unreadable(line: usize, reason: impl ToString) -> StagingError {
    DirectoryFileError::InvalidRecord { line, reason: reason.to_string() }.into()
}

fn insert_unpublished(
    unpublished: &mut BTreeMap<Vec<u8>, (usize, UnpublishedRecord)>,
    line: usize,
    record: UnpublishedRecord,
) -> Result<(), StagingError> {
    match unpublished.entry(record.sort_key()) {
        Entry::Vacant(free) => {
            free.insert((line, record));
            Ok(())
        }
        Entry::Occupied(first) => {
            Err(IntegrityError::Duplicate { line, what: format!("this {}", record.kind()), first: RecordOrigin::Line(first.get().0) }
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::{StagedFile, StagingError};
    use crate::primary::apply::constraints::Constraints;

    fn read(text: &[u8]) -> Result<StagedFile, StagingError> {
        let folder = tempfile::tempdir().unwrap();
        let mut file: File = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        StagedFile::read(file, folder.path(), &mut Constraints::default())
    }

    fn user(id: u32, name: &str) -> String {
        format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"N"}}"#)
    }

    #[test]
    fn records_are_sorted_in_snapshot_order_and_keep_their_line_numbers() {
        let staged = read(format!("{}\r\n\n  {}\n{{\"kind\":\"settings\"}}", user(9, "i"), user(2, "b")).as_bytes()).unwrap();
        let lines: Vec<_> = staged.records.iter().map(|record| record.line).collect();
        assert_eq!(lines, [4, 3, 1]);
        assert_eq!(staged.text(&staged.records[1]).unwrap(), user(2, "b"));
    }

    #[test]
    fn each_error_names_its_line() {
        let refusal = |text: &[u8]| read(text).err().unwrap().to_string();
        assert_eq!(refusal(format!("{}\n{}", user(1, "a"), user(1, "b")).as_bytes()), "line 2: this user stands in line 1 already");
        assert!(refusal(b"\n\n{}").starts_with("line 3: "));
    }

    #[test]
    fn every_line_that_is_wrong_is_named_once_with_its_field() {
        let file = [
            user(1, "a"),
            r#"{"kind":"user","id":"x","username":"b","name":"B"}"#.to_owned(),
            user(1, "a"),
            r#"{"kind":"user","id":3,"username":"-c","name":"C"}"#.to_owned(),
            user(4, "A"),
            "kind,id".to_owned(),
            user(5, "e"),
            user(5, "f"),
        ];
        let said = read(file.join("\r\n").as_bytes()).err().unwrap().to_string();
        let begins: Vec<&str> = said.lines().map(|line| &line[..line.len().min(24)]).collect();
        assert_eq!(said.lines().next(), Some("6 lines are wrong, and nothing was applied:"), "{said}");
        for (said, begins) in
            begins[1..].iter().zip(["line 2: `id`: ", "line 3: ", "line 4: `username` ", "line 5: ", "line 6: ", "line 8: "])
        {
            assert!(said.starts_with(begins), "{said:?} {begins:?}");
        }
    }
}
