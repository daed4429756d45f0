//! A directory file that was read: its records in canonical form in a file of ours, and a list of them in the order of a
//! snapshot. Only the list is in memory.

use std::collections::HashSet;
use std::collections::btree_map::{BTreeMap, Entry as Spot};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::authority::apply::claims::{Claims, Conflict, Origin};
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::Record;
use crate::model::withheld::Withheld;
use crate::wire::directory;
use crate::wire::record_lines::{Filed, RecordLines};

const BUFFER: usize = 1 << 20;

/// The records of a file.
pub struct Spool {
    texts: File,
    /// In the order of a snapshot; no place twice.
    pub items: Vec<Item>,
    /// The ids of its keys.
    pub key_ids: HashSet<Id>,
    /// What is never published, by its place, with its line; in memory, since there is little of it.
    pub withheld: BTreeMap<Vec<u8>, (usize, Withheld)>,
}

/// One record of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it stands in a snapshot.
    pub place: Place,
    /// In which line of the file it stood, from 1.
    pub line: usize,
    offset: u64,
    bytes: usize,
}

/// Why a directory file is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// A line that is not a record.
    #[error(transparent)]
    Line(#[from] directory::Refused),
    /// A second record where there can be one, or a reference to nothing.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Our own file could not be written or read.
    #[error("the file in the store's folder: {0}")]
    Io(#[from] io::Error),
}

impl Spool {
    /// Reads a directory file, and claims what each published record claims. Blank lines are passed over.
    pub fn read(mut file: File, workshop: &Path, claims: &mut Claims) -> Result<Self, Refused> {
        file.rewind()?;
        let mut texts = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(workshop)?);
        let (mut items, mut key_ids, mut withheld, mut offset) = (Vec::new(), HashSet::new(), BTreeMap::new(), 0);
        for numbered in RecordLines::new(BufReader::with_capacity(BUFFER, file)) {
            let (line, record) = match numbered? {
                (line, Filed::Published(record)) => (line, record),
                (line, Filed::Withheld(record)) => {
                    withhold(&mut withheld, line, record)?;
                    continue;
                }
            };
            claims.claim(Origin::Line(line), &record)?;
            if let Record::Key(key) = &record {
                key_ids.insert(key.id);
            }
            let text = record.canonical().map_err(|error| directory::Refused::Line { line, reason: error.into() })?;
            texts.write_all(text.as_bytes())?;
            items.push(Item { place: record.place(), line, offset, bytes: text.len() });
            offset += text.len() as u64;
        }
        items.sort_by(|one, other| one.place.cmp(&other.place));
        let texts = texts.into_inner().map_err(io::IntoInnerError::into_error)?;
        let spool = Self { texts, items, key_ids, withheld };
        spool.refuse_twins()?;
        Ok(spool)
    }

    /// A record's canonical text.
    pub fn text(&self, item: &Item) -> io::Result<String> {
        let mut text = vec![0; item.bytes];
        self.texts.read_exact_at(&mut text, item.offset)?;
        String::from_utf8(text).map_err(io::Error::other)
    }

    fn refuse_twins(&self) -> Result<(), Refused> {
        for pair in self.items.windows(2) {
            if let [first, second] = pair
                && first.place == second.place
            {
                let reread = Record::parse(&self.text(second)?);
                let record = reread.map_err(|reason| directory::Refused::Line { line: second.line, reason })?;
                let what = match &record {
                    Record::Key(key) => format!("the key {}", key.key.fingerprint()),
                    other => format!("this {}", other.kind()),
                };
                return Err(Conflict::Twice { line: second.line, what, first: Origin::Line(first.line) }.into());
            }
        }
        Ok(())
    }
}

fn withhold(withheld: &mut BTreeMap<Vec<u8>, (usize, Withheld)>, line: usize, record: Withheld) -> Result<(), Refused> {
    match withheld.entry(record.place()) {
        Spot::Vacant(free) => {
            free.insert((line, record));
            Ok(())
        }
        Spot::Occupied(first) => {
            Err(Conflict::Twice { line, what: format!("this {}", record.kind()), first: Origin::Line(first.get().0) }.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::{Refused, Spool};
    use crate::authority::apply::claims::Claims;

    fn read(text: &[u8]) -> Result<Spool, Refused> {
        let folder = tempfile::tempdir().unwrap();
        let mut file: File = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        Spool::read(file, folder.path(), &mut Claims::default())
    }

    fn user(id: u32, name: &str) -> String {
        format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"N"}}"#)
    }

    #[test]
    fn records_come_in_the_order_of_a_snapshot_with_the_lines_they_stood_in() {
        let spool = read(format!("{}\r\n\n  {}\n{{\"kind\":\"settings\"}}", user(9, "i"), user(2, "b")).as_bytes()).unwrap();
        let lines: Vec<_> = spool.items.iter().map(|item| item.line).collect();
        assert_eq!(lines, [4, 3, 1]);
        assert_eq!(spool.text(&spool.items[1]).unwrap(), user(2, "b"));
    }

    #[test]
    fn each_refusal_names_its_line() {
        let refusal = |text: &[u8]| read(text).err().unwrap().to_string();
        assert_eq!(refusal(format!("{}\n{}", user(1, "a"), user(1, "b")).as_bytes()), "line 2: this user stands in line 1 already");
        assert!(refusal(b"\n\n{}").starts_with("line 3: "));
    }
}
