//! What a generation says of itself: the number of its format, its cursor, and what its records add up to.
//!
//! Kept under the key `00` as a CRC-32 and one JSON object, written in the batch of the changes that it speaks of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::change::Head;
use crate::model::digest::State;
use crate::store::database::{Database, Write};
use crate::store::generation::Damage;
use crate::store::page::checksum_of;

/// The number of the format. Raise it when the layout changes, when a kind or a field is added to the directory (what an
/// older program kept as mere bytes would be understood, and missing in the index), and when the index gets a new name.
const FORMAT: u32 = 1;

const KEY: &[u8] = &[0];

/// What a generation says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// The last commit that was applied whole, and what the records added up to then.
    pub cursor: Option<Head>,
    /// What the records add up to now.
    pub state: State,
    /// How many records are not wholly understood.
    pub foreign: u64,
    /// How many entries the index has.
    pub index: u64,
    /// How many records of each kind.
    pub kinds: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct Numbered<T> {
    format: u32,
    tally: T,
}

impl Tally {
    /// Reads it. A database without one was never finished.
    pub fn read(database: &Database) -> Result<Self, Damage> {
        let bytes = database.read(KEY)?.ok_or_else(|| Damage("it was never finished, or lost its beginning".to_owned()))?;
        let (checksum, json) = bytes.split_at_checked(4).ok_or_else(|| Damage("its tally is cut short".to_owned()))?;
        if checksum != checksum_of(KEY, json) {
            return Err(Damage("its tally is damaged".to_owned()));
        }
        let unread = |error: serde_json::Error| Damage(format!("its tally cannot be read: {error}"));
        let Numbered { format, tally } = serde_json::from_slice::<Numbered<Box<serde_json::value::RawValue>>>(json).map_err(unread)?;
        if format != FORMAT {
            return Err(Damage(format!("it is of format {format}; this program reads {FORMAT}")));
        }
        serde_json::from_str(tally.get()).map_err(unread)
    }

    /// What to write.
    pub fn write(&self) -> Result<Write, Damage> {
        let json = serde_json::to_vec(&Numbered { format: FORMAT, tally: self }).map_err(|error| Damage(error.to_string()))?;
        let bytes = [checksum_of(KEY, &json).as_slice(), &json].concat();
        Ok((KEY.to_vec(), Some(bytes)))
    }

    /// Whether both speak of the same records, wherever their cursors are.
    pub fn agrees(&self, other: &Self) -> bool {
        let Self { cursor: _, state, foreign, index, kinds } = self;
        (state, foreign, index, kinds) == (&other.state, &other.foreign, &other.index, &other.kinds)
    }

    /// Counts a record in.
    pub fn add(&mut self, line: Line<'_>) {
        self.state = self.state.with(line.text.as_bytes());
        self.foreign += u64::from(line.foreign);
        *self.kinds.entry(line.kind().to_owned()).or_default() += 1;
    }

    /// Counts a record out.
    pub fn remove(&mut self, line: Line<'_>) {
        self.state = self.state.without(line.text.as_bytes());
        self.foreign = self.foreign.saturating_sub(u64::from(line.foreign));
        if let Some(count) = self.kinds.get_mut(line.kind()) {
            *count -= 1;
            if *count == 0 {
                self.kinds.remove(line.kind());
            }
        }
    }
}

/// A record as a page holds it: a byte that says whether it is foreign, and its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// One JSON object.
    pub text: &'a str,
    /// Whether it is not wholly understood.
    pub foreign: bool,
}

impl<'a> Line<'a> {
    /// Reads a page's value.
    pub fn of(value: &'a [u8]) -> Result<Self, Damage> {
        match value.split_first() {
            Some((&mark @ (0 | 1), text)) => {
                let text = std::str::from_utf8(text).map_err(|error| Damage(error.to_string()))?;
                Ok(Self { text, foreign: mark == 1 })
            }
            _ => Err(Damage("a record without its mark".to_owned())),
        }
    }

    /// A page's value.
    pub fn value(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.text.len() + 1);
        value.push(u8::from(self.foreign));
        value.extend_from_slice(self.text.as_bytes());
        value
    }

    /// The word that `kind`, the first field, says.
    pub fn kind(self) -> &'a str {
        let rest = self.text.strip_prefix("{\"kind\":\"");
        rest.and_then(|rest| rest.split('"').next()).unwrap_or("unknown")
    }
}

#[cfg(test)]
mod tests {
    use super::{KEY, Line, Tally};
    use crate::store::database::Database;
    use crate::store::page::checksum_of;

    fn stored(json: &str) -> Result<Tally, String> {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        let bytes = [checksum_of(KEY, json.as_bytes()).as_slice(), json.as_bytes()].concat();
        database.insert(KEY, bytes).unwrap();
        Tally::read(&database).map_err(|damage| damage.0)
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let reason = stored(r#"{"format":7,"tally":{"anything":1}}"#).unwrap_err();
        assert!(reason.contains("format 7"), "{reason}");
    }

    #[test]
    fn a_record_counted_in_and_out_leaves_nothing() {
        let line = Line { text: r#"{"kind":"robot","id":1}"#, foreign: true };
        let mut tally = Tally::default();
        tally.add(line);
        assert_eq!((tally.foreign, tally.state.count, tally.kinds.get("robot")), (1, 1, Some(&1)));
        assert_eq!(Line::of(&line.value()), Ok(line));
        tally.remove(line);
        assert_eq!(tally, Tally::default());
    }
}
