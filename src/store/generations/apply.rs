//! Deciding what a batch of changes does to records, index and tally, before any of it is written.
//!
//! A record is its [`Place`]: a put replaces what stands there. A key has an id as well, and that names one key: a put of
//! a key takes away every other key of the same id (the key's blob was replaced), and a delete by id takes away every key
//! that has it. What a change does thus depends on the records alone and not on how they came to be, so that replaying
//! commits over a snapshot that was read meanwhile ends in the same state.

use std::sync::Arc;

use crate::model::change::{Change, RecordIdentity};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::sort_key::SortKey;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::generations::record_cache::RecordCacheKey;
use crate::store::pages::header::StoreHeader;
use crate::store::pages::index::{IndexKey, index_keys};
use crate::store::pages::page_map::PageMap;
use crate::store::pages::page_transaction::{MapPageLimits, PageTransaction};
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// What was decided.
pub struct AppliedChanges {
    /// The pages to write.
    pub writes: Vec<KeyWrite>,
    /// What the records add up to afterwards.
    pub header: StoreHeader,
    /// What was answered differently before.
    pub invalidated: Vec<RecordCacheKey>,
}

/// Decides a batch, each change after those before it.
pub fn apply_changes(
    database: &Database,
    fullness: &MapPageLimits,
    header: StoreHeader,
    changes: &[Change],
) -> Result<AppliedChanges, StoreError> {
    let mut edit = ChangeApplier { pages: PageTransaction::new(database, fullness), header: header, invalidated: Vec::new() };
    for change in changes {
        match change {
            Change::Put(entry) => edit.put(entry)?,
            Change::Delete(RecordIdentity::Key(id)) => edit.delete_keys(*id, None)?,
            Change::Delete(RecordIdentity::Other(place, _)) => edit.delete(place)?,
        }
    }
    Ok(AppliedChanges { writes: edit.pages.into_writes(), header: edit.header, invalidated: edit.invalidated })
}

struct ChangeApplier<'a> {
    pages: PageTransaction<'a>,
    header: StoreHeader,
    invalidated: Vec<RecordCacheKey>,
}

impl ChangeApplier<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let place = entry.sort_key();
        if let Some(Record::Key(key)) = entry.record().map(Arc::as_ref) {
            self.delete_keys(key.id, Some(place))?;
        }
        let line = StoredRecord { text: entry.text(), foreign: entry.has_unknown_parts() };
        let old = self.pages.put(PageMap::Records, place.as_bytes(), line.encode())?;
        if let Some(old) = &old {
            let old = StoredRecord::decode(old)?;
            if old == line {
                return Ok(());
            }
            self.unindex(place, old)?;
        }
        self.header.add_record(line);
        let record = entry.record().map(Arc::as_ref);
        for name in record.map(index_keys).unwrap_or_default() {
            if self.pages.put(PageMap::Index, &name.encode_entry(place), Vec::new())?.is_none() {
                self.header.index += 1;
            }
        }
        self.invalidated.extend(RecordCacheKey::affected_by(place, record));
        Ok(())
    }

    fn delete_keys(&mut self, id: Id, but: Option<&SortKey>) -> Result<(), StoreError> {
        let name = IndexKey::by_key_id(id);
        for entry in self.pages.keys_with_prefix(PageMap::Index, name.prefix())? {
            match name.decode_entry(&entry) {
                Some(place) if Some(&place) != but => self.delete(&place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn delete(&mut self, place: &SortKey) -> Result<(), StoreError> {
        match self.pages.remove(PageMap::Records, place.as_bytes())? {
            Some(old) => self.unindex(place, StoredRecord::decode(&old)?),
            None => Ok(()),
        }
    }

    /// Takes what stood at a place out of index and tally.
    fn unindex(&mut self, place: &SortKey, old: StoredRecord<'_>) -> Result<(), StoreError> {
        self.header.remove_record(old);
        let entry = parse_entry(old.text)?;
        let record = entry.record().map(Arc::as_ref);
        for name in record.map(index_keys).unwrap_or_default() {
            if self.pages.remove(PageMap::Index, &name.encode_entry(place))?.is_some() {
                self.header.index = self.header.index.saturating_sub(1);
            }
        }
        self.invalidated.extend(RecordCacheKey::affected_by(place, record));
        Ok(())
    }
}
