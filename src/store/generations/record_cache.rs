//! A bounded cache of decoded records. A change removes exactly the lookups that it affects.
//!
//! The danger is a reader that has read a page, is overtaken by a change, and then caches what it read. So a reader takes the
//! cache's version before it reads; a change raises the version before it removes what it affects, and nothing is inserted
//! under an older version.

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
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt)* ; $key:ident $($key_line:tt)*) => {
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
#[derive(Clone, Copy, Debug)]
pub struct CacheVersion(u64);

/// The cache of one generation.
pub struct RecordCache {
    entries: Cache<RecordCacheKey, CachedRecord>,
    version: RwLock<u64>,
}

impl RecordCache {
    /// Creates an empty cache for about `capacity` results.
    pub fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), version: RwLock::new(0) }
    }

    /// Returns the cached result, if there is one.
    pub fn get(&self, key: &RecordCacheKey) -> Option<CachedRecord> {
        self.entries.get(key)
    }

    /// Returns the present version; call it before reading.
    pub fn current_version(&self) -> CacheVersion {
        CacheVersion(*self.version.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Caches a result, unless there was a change since `version` was taken.
    pub fn insert_if_current(&self, version: CacheVersion, key: RecordCacheKey, cached: CachedRecord) {
        let current = self.version.read().unwrap_or_else(PoisonError::into_inner);
        if *current == version.0 {
            // No change can begin to invalidate while this guard is alive.
            self.entries.insert(key, cached);
        }
    }

    /// Raises the version, then removes the results that a change affected.
    pub fn invalidate(&self, affected: impl IntoIterator<Item = RecordCacheKey>) {
        *self.version.write().unwrap_or_else(PoisonError::into_inner) += 1;
        for key in affected {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CachedRecord, RecordCache, RecordCacheKey};
    use crate::model::sort_key::SortKey;

    #[test]
    fn what_was_read_before_a_change_is_not_cached_after_it() {
        let records = RecordCache::new(100);
        let key = || RecordCacheKey::Record(SortKey::settings());
        let version = records.current_version();
        records.invalidate([key()]);
        records.insert_if_current(version, key(), CachedRecord::Absent);
        assert!(records.get(&key()).is_none());
        records.insert_if_current(records.current_version(), key(), CachedRecord::Absent);
        assert!(records.get(&key()).is_some());
        records.invalidate([RecordCacheKey::Prefix(SortKey::settings())]);
        assert!(records.get(&key()).is_some(), "another change clears nothing of it");
    }

    #[test]
    fn a_cache_of_capacity_zero_caches_nothing() {
        let records = RecordCache::new(0);
        records.insert_if_current(records.current_version(), RecordCacheKey::Record(SortKey::settings()), CachedRecord::Absent);
        assert!(records.get(&RecordCacheKey::Record(SortKey::settings())).is_none());
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
