//! What a batch of changes does to records, index and header, computed before any of it is written.
//!
//! A record is identified by its [`SortKey`]: a put replaces the record with the same one. A key has an id as well, which
//! identifies one key: a put of a key removes every other key with the same id (the key's blob was replaced), and a delete by
//! id removes every key that has it. The effect of a change thus depends on the records alone and not on their history, so
//! that replaying commits over a snapshot that was read meanwhile ends in the same state.

use std::sync::Arc;

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::generations::invalid_records::InvalidRecords;
use crate::store::generations::record_cache::RecordCacheKey;
use crate::store::pages::header::StoreHeader;
use crate::store::pages::index::{IndexKey, index_keys};
use crate::store::pages::page_map::PageMap;
use crate::store::pages::page_transaction::{MapPageLimits, PageTransaction};
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// The effect of a batch.
pub struct AppliedChanges {
    /// The pages to write or delete.
    pub writes: Vec<KeyWrite>,
    /// The header afterwards.
    pub header: StoreHeader,
    /// The cached lookups whose results have changed.
    pub invalidated: Vec<RecordCacheKey>,
    /// The records that break their grammar, afterwards.
    pub invalid: InvalidRecords,
}

/// Computes the effect of a batch; each change sees those before it.
pub fn apply_changes(
    database: &Database,
    limits: &MapPageLimits,
    header: StoreHeader,
    invalid: InvalidRecords,
    changes: &[Change],
) -> Result<AppliedChanges, StoreError> {
    let mut applier = ChangeApplier { pages: PageTransaction::new(database, limits), header, invalidated: Vec::new(), invalid };
    for change in changes {
        match change {
            Change::Put(entry) => applier.put(entry)?,
            Change::Delete(RecordIdentity::Key(id)) => applier.delete_keys(*id, None)?,
            Change::Delete(RecordIdentity::Other(sort_key, _)) => applier.delete(sort_key)?,
        }
    }
    let ChangeApplier { pages, header, invalidated, invalid } = applier;
    Ok(AppliedChanges { writes: pages.into_writes(), header, invalidated, invalid })
}

struct ChangeApplier<'a> {
    pages: PageTransaction<'a>,
    header: StoreHeader,
    invalidated: Vec<RecordCacheKey>,
    invalid: InvalidRecords,
}

impl ChangeApplier<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let sort_key = entry.sort_key();
        if let Some(Record::Key(key)) = entry.record().map(Arc::as_ref) {
            self.delete_keys(key.id, Some(sort_key))?;
        }
        let stored = StoredRecord { text: entry.text(), foreign: entry.has_unknown_parts() };
        let old = self.pages.put(PageMap::Records, sort_key.as_bytes(), stored.encode())?;
        if let Some(old) = &old {
            let old = StoredRecord::decode(old)?;
            if old == stored {
                return Ok(());
            }
            self.unindex(sort_key, old)?;
        }
        self.header.add_record(stored);
        self.invalid.add(entry);
        let record = entry.record().map(Arc::as_ref);
        for index_key in record.map(index_keys).unwrap_or_default() {
            if self.pages.put(PageMap::Index, &index_key.encode_entry(sort_key), Vec::new())?.is_none() {
                self.header.index += 1;
            }
        }
        self.invalidated.extend(RecordCacheKey::affected_by(sort_key, record));
        Ok(())
    }

    fn delete_keys(&mut self, id: Id, except: Option<&SortKey>) -> Result<(), StoreError> {
        let index_key = IndexKey::by_key_id(id);
        for entry in self.pages.keys_with_prefix(PageMap::Index, index_key.prefix())? {
            match index_key.decode_entry(&entry) {
                Some(sort_key) if Some(&sort_key) != except => self.delete(&sort_key)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn delete(&mut self, sort_key: &SortKey) -> Result<(), StoreError> {
        match self.pages.remove(PageMap::Records, sort_key.as_bytes())? {
            Some(old) => self.unindex(sort_key, StoredRecord::decode(&old)?),
            None => Ok(()),
        }
    }

    /// Takes a removed or replaced record out of index and header.
    fn unindex(&mut self, sort_key: &SortKey, old: StoredRecord<'_>) -> Result<(), StoreError> {
        self.header.remove_record(old);
        let entry = parse_entry(old.text)?;
        self.invalid.remove(&entry);
        let record = entry.record().map(Arc::as_ref);
        for index_key in record.map(index_keys).unwrap_or_default() {
            if self.pages.remove(PageMap::Index, &index_key.encode_entry(sort_key))?.is_some() {
                self.header.index = self.header.index.saturating_sub(1);
            }
        }
        self.invalidated.extend(RecordCacheKey::affected_by(sort_key, record));
        Ok(())
    }
}
