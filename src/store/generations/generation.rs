//! One generation: the records of a directory, their indices and the cursor, in one sled database.
//!
//! ```text
//! 00                header: format, cursor, digest, count, counts by kind      (pages/header.rs)
//! 01 <sort key>     pages of records: sort key, flag byte, canonical text      (pages/page.rs, pages/page_map.rs)
//! 02 <index key>    pages of the index: index key and sort key, nothing else   (pages/index.rs)
//! 03 <seq>          the primary's journal: one commit each                     (primary/journal.rs)
//! ```
//! Neighbours share a page of about 32 records and at most 16 KiB, so that a million keys load in a second and need no
//! index in memory. Every value carries a checksum that holds under its own key only, and every page says where the next
//! begins: what is damaged, moved or lost is a [`StoreError`] and never a wrong answer. A page may still be an older one
//! than it should be; [`Generation::is_intact`] adds everything up and finds that. If sled drops the end of its log, whole
//! batches are missing: that is an older generation, consistent in itself, and its cursor says so.
//!
//! The files are made by [`Generation::create`] and changed by [`Generation::apply`], one batch at a time, with index,
//! digest and count in the batch. Lookups go through a bounded cache of decoded records, from which each change removes
//! what it affects (record_cache.rs, lookup.rs).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::model::change::{Change, Epoch, Head};
use crate::model::digest::DirectoryDigest;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::sort_key::SortKey;
use crate::store::database::{Database, KeyWrite, encoded_bytes};
use crate::store::error::StoreError;
use crate::store::generations::apply::{AppliedChanges, apply_changes};
use crate::store::generations::invalid_records::InvalidRecords;
use crate::store::generations::record_cache::{RecordCache, RecordCacheKey};
use crate::store::generations::shared_repositories::{MAX_RECORDS_READ_AGAIN, SharedRepositories, has_repository};
use crate::store::pages::bulk_load::bulk_load;
use crate::store::pages::header::StoreHeader;
use crate::store::pages::index::IndexKey;
use crate::store::pages::page::PageView;
use crate::store::pages::page_map::{PageIter, PageMap, find_page, for_each_item, last_key_before};
use crate::store::pages::page_transaction::MapPageLimits;
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// How much memory a store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// sled's page cache, in bytes.
    pub page_cache_bytes: u64,
    /// How many decoded records are cached.
    pub record_cache_entries: usize,
}

/// An open generation. Cheap to clone; may be read from any thread; a lock inside admits one writer at a time. The database is
/// closed when the last clone and the last iterator of [`Generation::entries`] are dropped.
#[derive(Clone)]
pub struct Generation {
    inner: Arc<GenerationInner>,
}

struct GenerationInner {
    database: Database,
    page_limits: MapPageLimits,
    record_cache: RecordCache,
    header: ArcSwap<StoreHeader>,
    shared_repositories: ArcSwap<SharedRepositories>,
    /// Known once the whole generation was read.
    invalid_records: ArcSwapOption<InvalidRecords>,
    writer: Mutex<()>,
}

/// What is written in the same batch as the changes.
pub struct ExtraWrites {
    /// Where the cursor is moved to, if it is.
    pub cursor: Option<(Epoch, u64)>,
    /// Writes to other keys of the database.
    pub writes: Vec<KeyWrite>,
    /// Whether the write is refused where the disk has no room for it.
    pub room: RoomCheck,
}

/// Whether a write is begun although the disk may have no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoomCheck {
    /// It is refused without room, and then nothing has changed: for a store that cannot be built anew.
    Required,
    /// It is begun.
    Skipped,
}

impl Generation {
    /// Opens an existing generation. Blocks. A panic inside sled is returned as an error.
    pub fn open(folder: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        let database = Database::open(folder, options.page_cache_bytes)?;
        let header = StoreHeader::load(&database).map_err(|StoreError(reason)| StoreError(format!("{}: {reason}", folder.display())))?;
        let shared =
            SharedRepositories::find(&database).map_err(|StoreError(reason)| StoreError(format!("{}: {reason}", folder.display())))?;
        let generation = Self::from_parts(database, options, MapPageLimits::DEFAULT, header);
        generation.inner.shared_repositories.store(Arc::new(shared));
        Ok(generation)
    }

    /// Creates a generation from entries in snapshot order, by plain inserts, and flushes it. It has no cursor until
    /// [`Generation::apply`] sets one. `entries` may stop with an error of the caller's. Close it and open it again before it
    /// serves: sled then has written its own snapshot, and the next start is fast.
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
        limits: MapPageLimits,
        entries: impl Iterator<Item = Result<Entry, E>>,
    ) -> Result<Self, E> {
        let database = Database::open(folder, options.page_cache_bytes)?;
        let mut invalid = InvalidRecords::default();
        let counted = entries.inspect(|entry| entry.iter().for_each(|entry| invalid.add(entry)));
        let header = bulk_load(&database, &limits, counted)?;
        database.flush_and_sync_folder()?;
        let generation = Self::from_parts(database, options, limits, header);
        generation.set_invalid_records(Arc::new(invalid));
        Ok(generation)
    }

    fn from_parts(database: Database, options: &StoreOptions, limits: MapPageLimits, header: StoreHeader) -> Self {
        let record_cache = RecordCache::new(options.record_cache_entries);
        Self {
            inner: Arc::new(GenerationInner {
                database,
                page_limits: limits,
                record_cache,
                header: ArcSwap::from_pointee(header),
                shared_repositories: ArcSwap::default(),
                invalid_records: ArcSwapOption::empty(),
                writer: Mutex::new(()),
            }),
        }
    }

    /// Applies the changes in their order, and moves the cursor if one is given, in one atomic batch. Returns what the records add
    /// up to afterwards. From then on every lookup sees the changes; they are on disk after [`Generation::flush`]. Readers wait
    /// while a batch is written, so give at most 1,000 changes.
    ///
    /// A put of a key takes away other keys of the same id. A put of what is there already, and a delete of what is not,
    /// change nothing.
    pub fn apply(&self, changes: &[Change], cursor: Option<(Epoch, u64)>) -> Result<DirectoryDigest, StoreError> {
        self.apply_with_extra(changes, |_| Ok(Some(ExtraWrites { cursor, writes: Vec::new(), room: RoomCheck::Skipped })))
    }

    /// As [`Generation::apply`], with other writes in the same batch, which `extra` decides once the state after the changes is
    /// known; if it returns `None`, nothing is written. Returns that state.
    pub fn apply_with_extra(
        &self,
        changes: &[Change],
        extra: impl FnOnce(DirectoryDigest) -> Result<Option<ExtraWrites>, StoreError>,
    ) -> Result<DirectoryDigest, StoreError> {
        let inner = &*self.inner;
        let _one_writer = inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inner.header.load_full();
        let known = inner.invalid_records.load_full();
        let invalid = known.as_deref().cloned().unwrap_or_default();
        let AppliedChanges { mut writes, mut header, invalidated, invalid } =
            apply_changes(&inner.database, &inner.page_limits, StoreHeader::clone(&before), invalid, changes)?;
        let state = header.state;
        let Some(extra) = extra(state)? else { return Ok(state) };
        if let Some((epoch, seq)) = extra.cursor {
            header.cursor = Some(Head { epoch, seq, state });
        }
        writes.extend(extra.writes);
        if header != *before {
            writes.push(header.encode()?);
        }
        if writes.is_empty() {
            return Ok(state);
        }
        if extra.room == RoomCheck::Required {
            inner.database.promise_room(encoded_bytes(&writes))?;
        }
        self.write_batch(writes, invalidated, || ())?;
        inner.header.store(Arc::new(header));
        if known.is_some() {
            inner.invalid_records.store(Some(Arc::new(invalid)));
        }
        if changes.iter().any(has_repository) {
            self.find_shared_repositories();
        }
        Ok(state)
    }

    /// Writes a batch, and removes what it affects from the cache. Calls `written` when the batch can be read and that is not done yet.
    pub fn write_batch(&self, writes: Vec<KeyWrite>, affected: Vec<RecordCacheKey>, written: impl FnOnce()) -> Result<(), StoreError> {
        let _change = self.inner.record_cache.begin_change(affected);
        self.inner.database.write_batch(writes)?;
        written();
        Ok(())
    }

    /// Finds again which repositories two records lead to, while there are some or where that is cheap. What cannot be read keeps what was
    /// found before: the error shows where the records are looked up.
    fn find_shared_repositories(&self) {
        let known = self.inner.shared_repositories.load();
        let kinds = &self.inner.header.load().kinds;
        let records: u64 = ["project", "snippet"].iter().filter_map(|kind| kinds.get(*kind)).sum();
        if (known.count() > 0 || records <= MAX_RECORDS_READ_AGAIN)
            && let Ok(found) = SharedRepositories::find(&self.inner.database)
        {
            self.inner.shared_repositories.store(Arc::new(found));
        }
    }

    /// Returns the repositories that two records lead to.
    #[must_use]
    pub fn shared_repositories(&self) -> Arc<SharedRepositories> {
        self.inner.shared_repositories.load_full()
    }

    /// Returns the records that break the grammar of a field; `None` until the whole generation was read once.
    #[must_use]
    pub fn invalid_records(&self) -> Option<Arc<InvalidRecords>> {
        self.inner.invalid_records.load_full()
    }

    /// Sets what was counted when this generation was created, before it was closed and opened again.
    pub fn set_invalid_records(&self, invalid: Arc<InvalidRecords>) {
        self.inner.invalid_records.store(Some(invalid));
    }

    /// Writes everything that was applied to disk.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.inner.database.flush()
    }

    /// Returns the cursor, with the state as it was when the cursor was moved: what the primary's journal says of that `seq`, also
    /// while a later commit is applied in part. `None` if none was ever stored.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        self.inner.header.load().cursor
    }

    /// Returns what the records add up to, as the header says.
    #[must_use]
    pub fn state(&self) -> DirectoryDigest {
        self.inner.header.load().state
    }

    /// Returns the number of records of each kind.
    #[must_use]
    pub fn counts_by_kind(&self) -> BTreeMap<String, u64> {
        self.inner.header.load().kinds.clone()
    }

    /// Returns the number of records with a kind or a field that this program does not know.
    #[must_use]
    pub fn foreign_count(&self) -> u64 {
        self.inner.header.load().foreign
    }

    /// Iterates over all records in snapshot order. Writes made meanwhile may or may not be seen.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, StoreError>> + Send + use<> {
        self.record_lines().map(|line| parse_entry(&line?))
    }

    /// Iterates over the canonical texts of all records in snapshot order, without parsing them: much cheaper than
    /// [`Generation::entries`] where only the bytes are needed.
    pub fn record_lines(&self) -> impl Iterator<Item = Result<Box<str>, StoreError>> + Send + use<> {
        let pages = PageIter::new(&self.inner.database, PageMap::Records, &[]);
        // The iterator keeps a handle, so that whoever removes old generations sees that this one is still read.
        let generation = self.clone();
        pages.flat_map(move |page| match page {
            Ok((from, view)) => generation.page_lines(&view, &from),
            Err(error) => vec![Err(error)],
        })
    }

    fn page_lines(&self, view: &PageView, from: &[u8]) -> Vec<Result<Box<str>, StoreError>> {
        let in_range = view.items().filter(|item| item.as_ref().map_or(true, |(key, _)| *key >= from));
        in_range.map(|item| StoredRecord::decode(item?.1).map(|line| Box::from(line.text))).collect()
    }

    /// Reads all records and adds them up. Equal to [`Generation::state`] unless the database lost something, or changes were
    /// applied meanwhile (see [`Generation::is_intact`]).
    pub fn recompute_state(&self) -> Result<DirectoryDigest, StoreError> {
        self.recompute_header().map(|(header, _)| header.state)
    }

    /// Returns whether a scan of everything finds what the header says. Writers wait only if changes came during two scans already.
    pub fn is_intact(&self) -> Result<bool, StoreError> {
        let header = &self.inner.header;
        for _ in 0..2 {
            let before = header.load_full();
            let (found, invalid) = self.recompute_header()?;
            let _no_writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&before, &header.load_full()) {
                self.inner.invalid_records.store(Some(Arc::new(invalid)));
                return Ok(before.same_contents(&found));
            }
        }
        let _no_writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, invalid) = self.recompute_header()?;
        self.inner.invalid_records.store(Some(Arc::new(invalid)));
        Ok(header.load().same_contents(&found))
    }

    fn recompute_header(&self) -> Result<(StoreHeader, InvalidRecords), StoreError> {
        let (mut found, mut invalid) = (StoreHeader::default(), InvalidRecords::default());
        for_each_item(&self.inner.database, PageMap::Records, &[], |_, value| {
            let record = StoredRecord::decode(value)?;
            found.add_record(record);
            invalid.add_stored(record)?;
            Ok(true)
        })?;
        for_each_item(&self.inner.database, PageMap::Index, &[], |_, _| {
            found.index += 1;
            Ok(true)
        })?;
        Ok((found, invalid))
    }

    /// Returns the size on disk, in bytes.
    #[must_use]
    pub fn size_on_disk(&self) -> u64 {
        self.inner.database.size_on_disk()
    }

    /// Returns the sort keys of all key records with this id.
    pub fn find_keys_by_id(&self, id: Id) -> Result<Vec<SortKey>, StoreError> {
        let index_key = IndexKey::by_key_id(id);
        let mut sort_keys = Vec::new();
        for_each_item(&self.inner.database, PageMap::Index, index_key.prefix(), |entry, _| {
            let sort_key = index_key.decode_entry(entry);
            let more = sort_key.is_some();
            sort_keys.extend(sort_key);
            Ok(more)
        })?;
        Ok(sort_keys)
    }

    /// Returns whether there is no other handle, and no iterator over it.
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

    /// Reads the record with this sort key, bypassing the cache.
    pub fn load_entry(&self, sort_key: &SortKey) -> Result<Option<Entry>, StoreError> {
        let page = find_page(&self.inner.database, PageMap::Records, sort_key.as_bytes())?;
        page.value(sort_key.as_bytes())?.map(|value| parse_entry(StoredRecord::decode(value)?.text)).transpose()
    }

    /// Returns whether there is a record with this sort key, bypassing the cache.
    pub fn has_entry(&self, sort_key: &SortKey) -> Result<bool, StoreError> {
        let page = find_page(&self.inner.database, PageMap::Records, sort_key.as_bytes())?;
        Ok(page.value(sort_key.as_bytes())?.is_some())
    }

    /// Returns the highest id of a project.
    pub fn highest_project_id(&self) -> Result<Option<Id>, StoreError> {
        // Snippets come after all projects.
        let last = last_key_before(&self.inner.database, PageMap::Records, SortKey::snippets_prefix().as_bytes())?;
        let projects = SortKey::projects_prefix();
        let id = last.as_deref().and_then(|key| key.strip_prefix(projects.as_bytes())).map(<[u8; 8]>::try_from);
        Ok(id.and_then(Result::ok).and_then(|bytes| Id::try_from(u64::from_be_bytes(bytes)).ok()))
    }

    /// Returns the sort key of the first record with this index key.
    pub fn find_in_index(&self, index_key: &IndexKey) -> Result<Option<SortKey>, StoreError> {
        if !index_key.is_of_records() {
            return Ok(None);
        }
        let mut found = None;
        for_each_item(&self.inner.database, PageMap::Index, index_key.prefix(), |entry, _| {
            found = index_key.decode_entry(entry);
            Ok(false)
        })?;
        Ok(found)
    }
}
