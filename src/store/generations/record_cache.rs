//! A bounded cache of decoded records, cleared exactly by the changes.
//!
//! The danger is a reader that has read a page, is overtaken by a change, and then keeps what it read. So whoever wants to
//! keep something takes a ticket before reading; a change makes all tickets void before it clears what it touched, and a
//! void ticket keeps nothing.

use std::sync::{Arc, PoisonError, RwLock};

use quick_cache::sync::Cache;

use crate::model::record::{self, Record};
use crate::model::record_kinds::record_kinds;
use crate::model::sort_key::SortKey;
use crate::store::pages::index::{IndexKey, index_keys, list_prefix};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordCacheKey {
    /// The record at a place.
    Record(SortKey),
    /// The record of a name.
    Index(IndexKey),
    /// All records whose places begin so.
    Prefix(SortKey),
}

impl RecordCacheKey {
    /// Everything whose answer a record at a place has a part in.
    pub fn affected_by(place: &SortKey, record: Option<&Record>) -> impl Iterator<Item = Self> {
        let named = record.map(index_keys).unwrap_or_default().into_iter().map(Self::Index);
        let below = record.and_then(list_prefix).map(Self::Prefix);
        named.chain(below).chain([Self::Record(place.clone())])
    }
}

macro_rules! cached_kinds {
    ($($kind:ident $name:literal $number:literal $key_fields:tt => $sort_key:tt)* ; $key:ident $($key_line:tt)*) => {
        cached_kinds!(@ $($kind)* $key);
    };
    (@ $($kind:ident)*) => {
        /// What was found.
        #[derive(Clone, Debug)]
        pub enum CachedRecord {
            $(#[doc = concat!("A record of kind `", stringify!($kind), "`.")] $kind(Arc<record::$kind>),)*
            /// That there is none: kept only where asking for what is not there is the rule (memberships, grants).
            Absent,
            /// Several together.
            List(Arc<[CachedRecord]>),
        }

        impl CachedRecord {
            /// A record, ready to be kept.
            pub fn from_record(record: &Record) -> Self {
                match record {
                    $(Record::$kind(found) => Self::$kind(Arc::new(found.clone())),)*
                }
            }
        }

        $(impl CachedKind for record::$kind {
            fn from_cached(known: &CachedRecord) -> Option<Arc<Self>> {
                match known {
                    CachedRecord::$kind(found) => Some(Arc::clone(found)),
                    _ => None,
                }
            }
        })*
    };
}

/// One kind of record, taken out of what is known.
pub trait CachedKind: Sized {
    /// The record, if it is of this kind.
    fn from_cached(known: &CachedRecord) -> Option<Arc<Self>>;
}

record_kinds!(cached_kinds);

/// The right to keep what is read from now on, until the next change.
#[derive(Clone, Copy, Debug)]
pub struct CacheVersion(u64);

/// The cache.
pub struct RecordCache {
    entries: Cache<RecordCacheKey, CachedRecord>,
    version: RwLock<u64>,
}

impl RecordCache {
    /// An empty one that holds about `capacity` answers.
    pub fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity), version: RwLock::new(0) }
    }

    /// What is known, if it is kept.
    pub fn get(&self, asked: &RecordCacheKey) -> Option<CachedRecord> {
        self.entries.get(asked)
    }

    /// To be taken before reading.
    pub fn current_version(&self) -> CacheVersion {
        CacheVersion(*self.version.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps an answer, unless there was a change since the ticket was taken.
    pub fn insert_if_current(&self, ticket: CacheVersion, asked: RecordCacheKey, known: CachedRecord) {
        let changes = self.version.read().unwrap_or_else(PoisonError::into_inner);
        if *changes == ticket.0 {
            // While the guard is held no change can begin to clear.
            self.entries.insert(asked, known);
        }
    }

    /// After a change: makes all tickets void, then forgets what it touched.
    pub fn invalidate(&self, touched: impl IntoIterator<Item = RecordCacheKey>) {
        *self.version.write().unwrap_or_else(PoisonError::into_inner) += 1;
        for asked in touched {
            self.entries.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CachedRecord, RecordCache, RecordCacheKey};
    use crate::model::sort_key::SortKey;

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let records = RecordCache::new(100);
        let asked = || RecordCacheKey::Record(SortKey::settings());
        let ticket = records.current_version();
        records.invalidate([asked()]);
        records.insert_if_current(ticket, asked(), CachedRecord::Absent);
        assert!(records.get(&asked()).is_none());
        records.insert_if_current(records.current_version(), asked(), CachedRecord::Absent);
        assert!(records.get(&asked()).is_some());
        records.invalidate([RecordCacheKey::Prefix(SortKey::settings())]);
        assert!(records.get(&asked()).is_some(), "another change clears nothing of it");
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let records = RecordCache::new(0);
        records.insert_if_current(records.current_version(), RecordCacheKey::Record(SortKey::settings()), CachedRecord::Absent);
        assert!(records.get(&RecordCacheKey::Record(SortKey::settings())).is_none());
    }

    #[test]
    fn the_cache_is_bounded() {
        let records = RecordCache::new(100);
        for number in 1..10_000_u64 {
            let asked = RecordCacheKey::Record(SortKey::user(number.try_into().unwrap()));
            records.insert_if_current(records.current_version(), asked, CachedRecord::Absent);
        }
        assert!(records.entries.len() <= 100);
    }
}
