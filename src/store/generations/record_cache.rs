//! A bounded cache of decoded records. A change removes exactly the lookups that it affects.
//!
//! Two things must not happen. A reader that has read a page and is overtaken by a change must not cache what it read. And once
//! a change can be read in the pages, no lookup that begins after that may find the old record here. So the cache has a version:
//! a change makes it odd before it writes and even after it has removed what it affects. While it is odd nothing is found here
//! and every lookup reads the pages; and what was read is inserted only if the version was even before and still is the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use crate::model::record::{self, Record};
use crate::model::record_kinds::record_kinds;
use crate::model::sort_key::SortKey;
use crate::store::pages::index::{IndexKey, index_keys, list_prefix};

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordCacheKey {
    /// The record with a sort key.
    Record(SortKey),
    /// The record with an index key.
    Index(IndexKey),
    /// All records whose sort keys begin with a prefix.
    Prefix(SortKey),
}

impl RecordCacheKey {
    /// Returns all lookups whose results a record contributes to.
    pub fn affected_by(sort_key: &SortKey, record: Option<&Record>) -> impl Iterator<Item = Self> {
        let by_index = record.map(index_keys).unwrap_or_default().into_iter().map(Self::Index);
        let by_prefix = record.and_then(list_prefix).map(Self::Prefix);
        by_index.chain(by_prefix).chain([Self::Record(sort_key.clone())])
    }
}

macro_rules! cached_kinds {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt gives $gives:tt)* ; $key:ident $($key_line:tt)*) => {
        cached_kinds!(@ $($kind)* $key);
    };
    (@ $($kind:ident)*) => {
        /// The result of a lookup.
        #[derive(Clone, Debug)]
        pub enum CachedRecord {
            $(#[doc = concat!("A record of kind `", stringify!($kind), "`.")] $kind(Arc<record::$kind>),)*
            /// There is none: cached only where that is the common case (memberships, grants).
            Absent,
            /// Several records.
            List(Arc<[CachedRecord]>),
        }

        impl CachedRecord {
            /// Wraps a record for the cache.
            pub fn from_record(record: &Record) -> Self {
                match record {
                    $(Record::$kind(found) => Self::$kind(Arc::new(found.clone())),)*
                }
            }
        }

        $(impl CachedKind for record::$kind {
            fn from_cached(cached: &CachedRecord) -> Option<Arc<Self>> {
                match cached {
                    CachedRecord::$kind(found) => Some(Arc::clone(found)),
                    _ => None,
                }
            }
        })*
    };
}

/// A kind of record that can be taken out of a cached result.
pub trait CachedKind: Sized {
    /// Returns the record, if it is of this kind.
    fn from_cached(cached: &CachedRecord) -> Option<Arc<Self>>;
}

record_kinds!(cached_kinds);

/// The version of the cache at some moment: what is read after it may be inserted until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheVersion(u64);

impl CacheVersion {
    /// Returns it as a number, if no change was being written at that moment.
    #[must_use]
    pub const fn between_changes(self) -> Option<u64> {
        if self.0.is_multiple_of(2) { Some(self.0) } else { None }
    }
}

/// The cache of one generation.
pub struct RecordCache {
    entries: Cache<RecordCacheKey, CachedRecord>,
    version: AtomicU64,
    /// Read while a result is inserted, written where a change begins.
    inserting: RwLock<()>,
}

/// A change that is being written. When it is dropped, however that comes, what it affects is removed: a failed write may have reached
/// the pages.
pub struct CacheChange<'a> {
    cache: &'a RecordCache,
    affected: Vec<RecordCacheKey>,
}

impl RecordCache {
    /// Creates an empty cache for about `capacity` results.
    pub fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), version: AtomicU64::new(0), inserting: RwLock::new(()) }
    }

    /// Returns the cached result, if there is one and no change is being written.
    pub fn get(&self, key: &RecordCacheKey) -> Option<CachedRecord> {
        self.current_version().between_changes()?;
        self.entries.get(key)
    }

    /// Returns the present version; call it before reading.
    pub fn current_version(&self) -> CacheVersion {
        CacheVersion(self.version.load(Ordering::SeqCst))
    }

    /// Caches a result, unless there was a change since `version` was taken, or is one now.
    pub fn insert_if_current(&self, version: CacheVersion, key: RecordCacheKey, cached: CachedRecord) {
        let _no_change_begins = self.inserting.read().unwrap_or_else(PoisonError::into_inner);
        if version.between_changes().is_some() && self.current_version() == version {
            self.entries.insert(key, cached);
        }
    }

    /// Begins a change, before it is written. There is one at a time.
    #[must_use]
    pub fn begin_change(&self, affected: Vec<RecordCacheKey>) -> CacheChange<'_> {
        let _nothing_is_inserted = self.inserting.write().unwrap_or_else(PoisonError::into_inner);
        self.version.fetch_add(1, Ordering::SeqCst);
        CacheChange { cache: self, affected }
    }
}

impl Drop for CacheChange<'_> {
    fn drop(&mut self) {
        for key in &self.affected {
            self.cache.entries.remove(key);
        }
        self.cache.version.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{CachedRecord, RecordCache, RecordCacheKey};
    use crate::model::sort_key::SortKey;

    fn settings() -> RecordCacheKey {
        RecordCacheKey::Record(SortKey::settings())
    }

    fn filled() -> RecordCache {
        let records = RecordCache::new(100);
        records.insert_if_current(records.current_version(), settings(), CachedRecord::Absent);
        assert!(records.get(&settings()).is_some());
        records
    }

    #[test]
    fn what_was_read_before_a_change_or_during_it_is_not_cached_after_it() {
        let records = RecordCache::new(100);
        let before = records.current_version();
        let change = records.begin_change(vec![settings()]);
        let during = records.current_version();
        for version in [before, during] {
            records.insert_if_current(version, settings(), CachedRecord::Absent);
        }
        drop(change);
        for version in [before, during] {
            records.insert_if_current(version, settings(), CachedRecord::Absent);
            assert!(records.get(&settings()).is_none(), "{version:?}");
        }
        records.insert_if_current(records.current_version(), settings(), CachedRecord::Absent);
        assert!(records.get(&settings()).is_some());
    }

    #[test]
    fn nothing_is_found_while_a_change_is_written_and_only_what_it_affects_is_gone_after_it() {
        let records = filled();
        let change = records.begin_change(vec![RecordCacheKey::Prefix(SortKey::settings())]);
        assert!(records.get(&settings()).is_none(), "it may be old already");
        drop(change);
        assert!(records.get(&settings()).is_some(), "another change removes nothing of it");
        drop(records.begin_change(vec![settings()]));
        assert!(records.get(&settings()).is_none());
    }

    #[test]
    fn a_change_that_fails_removes_what_it_may_have_affected() {
        let records = filled();
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _change = records.begin_change(vec![settings()]);
            panic!("while it is written");
        }));
        assert!(failed.is_err() && records.get(&settings()).is_none());
        records.insert_if_current(records.current_version(), settings(), CachedRecord::Absent);
        assert!(records.get(&settings()).is_some(), "and the cache goes on");
    }

    #[test]
    fn a_cache_of_capacity_zero_caches_nothing() {
        let records = RecordCache::new(0);
        records.insert_if_current(records.current_version(), settings(), CachedRecord::Absent);
        assert!(records.get(&settings()).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let records = RecordCache::new(100);
        for number in 1..10_000_u64 {
            let key = RecordCacheKey::Record(SortKey::user(number.try_into().unwrap()));
            records.insert_if_current(records.current_version(), key, CachedRecord::Absent);
        }
        assert!(records.entries.len() <= 100);
    }
}
