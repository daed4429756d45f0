//! Creating a generation in one go: pages are filled one after the other and written by plain inserts, each once.

use crate::model::entry::Entry;
use crate::model::sort_key::SortKey;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::pages::external_sort::ExternalSorter;
use crate::store::pages::header::StoreHeader;
use crate::store::pages::index::index_keys;
use crate::store::pages::page::{Page, PageLimits};
use crate::store::pages::page_map::{PageMap, create_maps};
use crate::store::pages::page_transaction::MapPageLimits;
use crate::store::pages::stored_record::StoredRecord;

/// Fills an empty database with entries in snapshot order. The header is written last, so that an unfinished database never
/// opens as a generation. Not flushed.
pub fn bulk_load<E: From<StoreError>>(
    database: &Database,
    limits: &MapPageLimits,
    entries: impl Iterator<Item = Result<Entry, E>>,
) -> Result<StoreHeader, E> {
    if database.was_recovered() {
        return Err(StoreError(format!("{}: there is a database already", database.folder().display())).into());
    }
    create_maps(database)?;
    let sort_error = |error: std::io::Error| StoreError(format!("{}: {error}", database.folder().display()));
    let mut sorter = ExternalSorter::new(database.folder().to_owned());
    let mut header = StoreHeader::default();
    let mut records = PageWriter::new(database, PageMap::Records, &limits.records);
    for entry in entries {
        let entry = entry?;
        let stored = StoredRecord { text: entry.text(), foreign: entry.has_unknown_parts() };
        records.append(entry.sort_key().as_bytes(), &stored.encode())?;
        header.add_record(stored);
        for index_key in entry.record().map(|record| index_keys(record)).unwrap_or_default() {
            sorter.push(&index_key.encode_entry(entry.sort_key())).map_err(sort_error)?;
            header.index += 1;
        }
    }
    records.finish()?;
    let mut index = PageWriter::new(database, PageMap::Index, &limits.index);
    for entry in sorter.into_sorted().map_err(sort_error)? {
        index.append(&entry.map_err(sort_error)?, &[])?;
    }
    index.finish()?;
    let (key, value) = header.encode()?;
    database.insert(&key, value.unwrap_or_default())?;
    Ok(header)
}

/// Writes the pages of one map. A page is written when the first key of the next is known.
struct PageWriter<'a> {
    database: &'a Database,
    map: PageMap,
    limits: &'a PageLimits,
    start_key: Vec<u8>,
    last_key: Option<Vec<u8>>,
    page: Page,
}

impl<'a> PageWriter<'a> {
    fn new(database: &'a Database, map: PageMap, limits: &'a PageLimits) -> Self {
        Self { database, map, limits, start_key: Vec::new(), last_key: None, page: Page::default() }
    }

    fn append(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            let sort_key = SortKey::from_bytes(key);
            return Err(StoreError(format!("records are not in the order of a snapshot: {sort_key:?}")));
        }
        if self.page.is_full(self.limits) {
            self.page.end_key = Some(key.to_vec());
            self.write_page()?;
            self.start_key = key.to_vec();
        }
        self.page.push(key, value);
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        self.write_page()
    }

    fn write_page(&mut self) -> Result<(), StoreError> {
        let key = self.map.page_key(&self.start_key);
        let page = std::mem::take(&mut self.page);
        self.database.insert(&key, page.encode(&key))
    }
}
