//! The header of a generation: the number of its format, its cursor, and what its records add up to.
//!
//! Stored under the key `00` as a CRC-32 and one JSON object, and written in the batch of the changes that it counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::change::Head;
use crate::model::digest::DirectoryDigest;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::pages::page::compute_checksum;
use crate::store::pages::stored_record::StoredRecord;

/// The number of the format. Raise it when the layout changes, when a kind or a field is added to the directory (records that an
/// older program stored without understanding them would be missing in the index), and when a kind of index key is added.
const FORMAT_VERSION: u32 = 1;

const HEADER_KEY: &[u8] = &[0];

/// The header of a generation. The field names are those on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreHeader {
    /// The last commit that was applied whole, and what the records added up to then.
    pub cursor: Option<Head>,
    /// What the records add up to now.
    pub state: DirectoryDigest,
    /// How many records have a kind or a field that this program does not know.
    pub foreign: u64,
    /// How many entries the index has.
    pub index: u64,
    /// How many records of each kind.
    pub kinds: BTreeMap<String, u64>,
}

#[derive(Serialize, Deserialize)]
struct VersionedHeader<T> {
    format: u32,
    #[serde(rename = "tally")]
    header: T,
}

impl StoreHeader {
    /// Reads the header. A database without one was never finished.
    pub fn load(database: &Database) -> Result<Self, StoreError> {
        let bytes = database.read(HEADER_KEY)?.ok_or_else(|| StoreError("it was never finished, or lost its beginning".to_owned()))?;
        let (checksum, json) = bytes.split_at_checked(4).ok_or_else(|| StoreError("its tally is cut short".to_owned()))?;
        if checksum != compute_checksum(HEADER_KEY, json) {
            return Err(StoreError("its tally is damaged".to_owned()));
        }
        let parse_error = |error: serde_json::Error| StoreError(format!("its tally cannot be read: {error}"));
        let VersionedHeader { format, header } =
            serde_json::from_slice::<VersionedHeader<Box<serde_json::value::RawValue>>>(json).map_err(parse_error)?;
        if format != FORMAT_VERSION {
            return Err(StoreError(format!("it is of format {format}; this program reads {FORMAT_VERSION}")));
        }
        serde_json::from_str(header.get()).map_err(parse_error)
    }

    /// Returns the write that stores the header.
    pub fn encode(&self) -> Result<KeyWrite, StoreError> {
        let json =
            serde_json::to_vec(&VersionedHeader { format: FORMAT_VERSION, header: self }).map_err(|error| StoreError(error.to_string()))?;
        let bytes = [compute_checksum(HEADER_KEY, &json).as_slice(), &json].concat();
        Ok((HEADER_KEY.to_vec(), Some(bytes)))
    }

    /// Returns whether both describe the same records, wherever their cursors are.
    pub fn same_contents(&self, other: &Self) -> bool {
        let Self { cursor: _, state, foreign, index, kinds } = self;
        (state, foreign, index, kinds) == (&other.state, &other.foreign, &other.index, &other.kinds)
    }

    /// Counts an added record.
    pub fn add_record(&mut self, record: StoredRecord<'_>) {
        self.state = self.state.with_record(record.text.as_bytes());
        self.foreign += u64::from(record.foreign);
        *self.kinds.entry(record.kind().to_owned()).or_default() += 1;
    }

    /// Counts a removed record.
    pub fn remove_record(&mut self, record: StoredRecord<'_>) {
        self.state = self.state.without_record(record.text.as_bytes());
        self.foreign = self.foreign.saturating_sub(u64::from(record.foreign));
        if let Some(count) = self.kinds.get_mut(record.kind()) {
            *count -= 1;
            if *count == 0 {
                self.kinds.remove(record.kind());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_KEY, StoreHeader};
    use crate::store::database::Database;
    use crate::store::pages::page::compute_checksum;
    use crate::store::pages::stored_record::StoredRecord;

    fn stored(json: &str) -> Result<StoreHeader, String> {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path(), 1 << 20).unwrap();
        let bytes = [compute_checksum(HEADER_KEY, json.as_bytes()).as_slice(), json.as_bytes()].concat();
        database.insert(HEADER_KEY, bytes).unwrap();
        StoreHeader::load(&database).map_err(|error| error.0)
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let reason = stored(r#"{"format":7,"tally":{"anything":1}}"#).unwrap_err();
        assert!(reason.contains("format 7"), "{reason}");
    }

    #[test]
    fn a_record_added_and_removed_leaves_the_header_as_it_was() {
        let record = StoredRecord { text: r#"{"kind":"robot","id":1}"#, foreign: true };
        let mut header = StoreHeader::default();
        header.add_record(record);
        assert_eq!((header.foreign, header.state.count, header.kinds.get("robot")), (1, 1, Some(&1)));
        assert_eq!(StoredRecord::decode(&record.encode()), Ok(record));
        header.remove_record(record);
        assert_eq!(header, StoreHeader::default());
    }
}
