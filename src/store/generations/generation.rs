//! One generation: the records of a directory, their indices and the cursor, in one sled database.
//!
//! ```text
//! 00            the tally: format, cursor, digest, count, counts by kind   (tally.rs)
//! 01 <place>    pages of records: place, mark, canonical text              (page.rs, pages.rs)
//! 02 <entry>    pages of the index: name and place, nothing else           (index.rs)
//! 03 <seq>      the primary's journal: one commit each                     (journal.rs)
//! ```
//! Neighbours share a value of about 32 records and at most 16 KiB, so that a million keys load in a second and need no
//! index in memory. Every value carries a checksum that holds under its own key only, and every page says where the next
//! begins: what is damaged, moved or lost is a [`Damage`] and never a wrong answer. A page may still be an older one than it
//! should be; [`Generation::scan`] adds everything up and finds that. If sled drops the end of its log, whole batches are
//! gone: that is an older generation, whole, and its cursor says so.
//!
//! The files are made by [`Generation::load`] and changed by [`Generation::apply`], one batch at a time, with index, digest
//! and count in the batch. Answers come from a bounded cache of decoded records that the changes clear exactly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::model::change::{Change, Epoch, Head};
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::sort_key::SortKey;
use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::generations::apply::{AppliedChanges, apply_changes};
use crate::store::generations::record_cache::RecordCache;
use crate::store::pages::bulk_load::bulk_load;
use crate::store::pages::header::StoreHeader;
use crate::store::pages::index::IndexKey;
use crate::store::pages::page::PageView;
use crate::store::pages::page_map::{PageIter, PageMap, find_page, for_each_item};
use crate::store::pages::page_transaction::MapPageLimits;
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// How much memory a store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// sled's page cache, in bytes.
    pub page_cache_bytes: u64,
    /// Decoded records kept.
    pub record_cache_entries: usize,
}

/// An open generation. Cheap to clone; reads from any thread, one writer at a time (held inside). The database is closed
/// when the last clone and the last iterator of [`Generation::entries`] are gone.
#[derive(Clone)]
pub struct Generation {
    inner: Arc<GenerationInner>,
}

struct GenerationInner {
    database: Database,
    page_limits: MapPageLimits,
    record_cache: RecordCache,
    header: ArcSwap<StoreHeader>,
    writer: Mutex<()>,
}

/// What goes into the batch of the changes besides them.
pub struct ExtraWrites {
    /// Where the cursor is moved to.
    pub cursor: Option<(Epoch, u64)>,
    /// Other keys of the database.
    pub writes: Vec<KeyWrite>,
}

impl Generation {
    /// Opens an existing one. Blocks; survives a panic inside sled. Removes `snap.*.generating` first.
    pub fn open(folder: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let database = Database::open(folder, options.page_cache_bytes)?;
        let header = StoreHeader::load(&database).map_err(|StoreError(reason)| StoreError(format!("{}: {reason}", folder.display())))?;
        Ok(Self::from_parts(database, options, MapPageLimits::DEFAULT, header))
    }

    /// Makes a new one out of entries in snapshot order, by plain inserts, and flushes it. It has no cursor until
    /// [`Generation::apply`] gives it one. `entries` may stop with an error of the caller's. Before it serves it should be
    /// closed and opened again: sled then has written its own snapshot, and the next start is fast.
    pub fn create<E: From<StoreError>>(
        folder: &Path,
        options: &StoreOptions,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Self, E> {
        Self::create_with_limits(folder, options, MapPageLimits::DEFAULT, entries)
    }

    /// As [`Generation::create`], with other bounds on how full a page gets.
    pub fn create_with_limits<E: From<StoreError>>(
        folder: &Path,
        options: &StoreOptions,
        fullness: MapPageLimits,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Self, E> {
        let database = Database::open(folder, options.page_cache_bytes)?;
        let header = bulk_load(&database, &fullness, entries)?;
        database.flush_and_sync_folder()?;
        Ok(Self::from_parts(database, options, fullness, header))
    }

    fn from_parts(database: Database, options: &StoreOptions, fullness: MapPageLimits, header: StoreHeader) -> Self {
        let known = RecordCache::new(options.record_cache_entries);
        Self {
            inner: Arc::new(GenerationInner {
                database,
                page_limits: fullness,
                record_cache: known,
                header: ArcSwap::from_pointee(header),
                writer: Mutex::new(()),
            }),
        }
    }

    /// One atomic batch: the changes in their order, and the cursor if one is given. Gives what the store now holds. When it
    /// returns the changes bind in every answer; on disk they are after [`Generation::flush`]. Readers stand still while a
    /// batch is written, so at most 1,000 changes.
    ///
    /// A put of a key takes away other keys of the same id. A put of what is there already, and a delete of what is not,
    /// change nothing.
    pub fn apply(&self, changes: &[Change], cursor: Option<(Epoch, u64)>) -> Result<DirectoryDigest, StoreError> {
        self.apply_with_extra(changes, |_| Ok(Some(ExtraWrites { cursor, writes: Vec::new() })))
    }

    /// As [`Generation::apply`], with other writes in the same batch, decided when the state after the changes is known;
    /// `None` leaves everything as it is. Gives the state that was decided on.
    pub fn apply_with_extra(
        &self,
        changes: &[Change],
        beside: impl FnOnce(DirectoryDigest) -> Result<Option<ExtraWrites>, StoreError>,
    ) -> Result<DirectoryDigest, StoreError> {
        let inner = &*self.inner;
        let _one_writer = inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.header.load_full();
        let AppliedChanges { mut writes, mut header, invalidated } =
            apply_changes(&inner.database, &inner.page_limits, StoreHeader::clone(&before), changes)?;
        let state = header.state;
        let Some(beside) = beside(state)? else { return Ok(state) };
        if let Some((epoch, seq)) = beside.cursor {
            header.cursor = Some(Head { epoch, seq, state });
        }
        writes.extend(beside.writes);
        if header != *before {
            writes.push(header.encode()?);
        }
        if writes.is_empty() {
            return Ok(state);
        }
        inner.database.write_batch(writes)?;
        inner.record_cache.invalidate(invalidated);
        inner.header.store(Arc::new(header));
        Ok(state)
    }

    /// On disk, or not: what was applied counts only after this.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.inner.database.flush()
    }

    /// The cursor, with the state as it was when the cursor was moved: what the primary's journal says of that `seq`, also
    /// while a later commit is applied in part. `None` if none was ever stored.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.inner.header.load().cursor
    }

    /// What the store says that it holds.
    #[must_use]
    pub fn state(&self) -> DirectoryDigest {
        self.inner.header.load().state
    }

    /// How many records of each kind.
    #[must_use]
    pub fn counts_by_kind(&self) -> BTreeMap<String, u64> {
        self.inner.header.load().kinds.clone()
    }

    /// How many records are not wholly understood.
    #[must_use]
    pub fn foreign_count(&self) -> u64 {
        self.inner.header.load().foreign
    }

    /// All records, in the order of a snapshot. Other writes go on meanwhile and may or may not be seen.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, StoreError>> + Send + use<> {
        self.record_lines().map(|line| parse_entry(&line?))
    }

    /// The canonical texts of all records, in the order of a snapshot, without reading what they say: much cheaper than
    /// [`Generation::entries`] where only the bytes are wanted.
    pub fn record_lines(&self) -> impl Iterator<Item = Result<Box<str>, StoreError>> + Send + use<> {
        let pages = PageIter::new(&self.inner.database, PageMap::Records, &[]);
        // Held in the iterator, so that whoever removes old generations sees that this one is still read.
        let held = self.clone();
        pages.flat_map(move |page| match page {
            Ok((from, view)) => held.page_lines(&view, &from),
            Err(error) => vec![Err(error)],
        })
    }

    fn page_lines(&self, view: &PageView, from: &[u8]) -> Vec<Result<Box<str>, StoreError>> {
        let within = view.items().filter(|item| item.as_ref().map_or(true, |(key, _)| *key >= from));
        within.map(|item| StoredRecord::decode(item?.1).map(|line| Box::from(line.text))).collect()
    }

    /// Reads everything and adds it up. Equal to [`Generation::state`] unless the database lost something, or changes went
    /// on meanwhile (see [`Generation::whole`]).
    pub fn recompute_state(&self) -> Result<DirectoryDigest, StoreError> {
        self.recompute_header().map(|header| header.state)
    }

    /// Whether a scan finds what the store says that it holds. Changes wait only if they came between two scans already.
    pub fn is_intact(&self) -> Result<bool, StoreError> {
        let header = &self.inner.header;
        for _ in 0..2 {
            let before = header.load_full();
            let found = self.recompute_header()?;
            if Arc::ptr_eq(&before, &header.load_full()) {
                return Ok(before.same_contents(&found));
            }
        }
        let _no_writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(header.load().same_contents(&self.recompute_header()?))
    }

    fn recompute_header(&self) -> Result<StoreHeader, StoreError> {
        let mut found = StoreHeader::default();
        for_each_item(&self.inner.database, PageMap::Records, &[], |_, value| {
            found.add_record(StoredRecord::decode(value)?);
            Ok(true)
        })?;
        for_each_item(&self.inner.database, PageMap::Index, &[], |_, _| {
            found.index += 1;
            Ok(true)
        })?;
        Ok(found)
    }

    /// Bytes on disk.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.inner.database.size_on_disk()
    }

    /// Where all keys of an id stand.
    pub fn find_keys_by_id(&self, id: Id) -> Result<Vec<SortKey>, StoreError> {
        let name = IndexKey::by_key_id(id);
        let mut places = Vec::new();
        for_each_item(&self.inner.database, PageMap::Index, name.prefix(), |entry, _| {
            let place = name.decode_entry(entry);
            let more = place.is_some();
            places.extend(place);
            Ok(more)
        })?;
        Ok(places)
    }

    /// Whether nobody else holds it, or an iterator over it.
    pub fn is_last_handle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Returns the database that everything is stored in.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Returns the cache of decoded records.
    pub fn record_cache(&self) -> &RecordCache {
        &self.inner.record_cache
    }

    /// The record at a place, past the cache.
    pub fn load_entry(&self, place: &SortKey) -> Result<Option<Entry>, StoreError> {
        let page = find_page(&self.inner.database, PageMap::Records, place.as_bytes())?;
        page.value(place.as_bytes())?.map(|value| parse_entry(StoredRecord::decode(value)?.text)).transpose()
    }

    /// Where a name leads.
    pub fn find_in_index(&self, name: &IndexKey) -> Result<Option<SortKey>, StoreError> {
        let mut found = None;
        for_each_item(&self.inner.database, PageMap::Index, name.prefix(), |entry, _| {
            found = name.decode_entry(entry);
            Ok(false)
        })?;
        Ok(found)
    }
}
