//! A transaction over pages: pages are read into it and changed there, and written together at its end.

use std::collections::BTreeMap;

use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::pages::page::{Page, PageLimits, PageView};
use crate::store::pages::page_map::PageMap;

/// How full the pages of each map get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPageLimits {
    /// Pages of records.
    pub records: PageLimits,
    /// Pages of the index, whose items are small.
    pub index: PageLimits,
}

impl MapPageLimits {
    /// The values that were measured to load and read fastest.
    pub const DEFAULT: Self = Self {
        records: PageLimits { fill_items: 32, fill_bytes: 8 << 10, max_items: 48, max_bytes: 16 << 10 },
        index: PageLimits { fill_items: 128, fill_bytes: 8 << 10, max_items: 192, max_bytes: 16 << 10 },
    };

    /// Returns the limits of one map.
    pub const fn for_map(&self, map: PageMap) -> &PageLimits {
        match map {
            PageMap::Records => &self.records,
            PageMap::Index => &self.index,
        }
    }
}

struct CachedPage {
    page: Page,
    dirty: bool,
}

/// The pages that a batch reads and changes. Reads see earlier changes of the batch.
pub struct PageTransaction<'a> {
    database: &'a Database,
    limits: &'a MapPageLimits,
    /// By the page's database key; `None` is a page to delete.
    pages: BTreeMap<Vec<u8>, Option<CachedPage>>,
}

impl<'a> PageTransaction<'a> {
    /// Begins without any change.
    pub const fn new(database: &'a Database, limits: &'a MapPageLimits) -> Self {
        Self { database, limits, pages: BTreeMap::new() }
    }

    /// Puts an item; returns the value that was there.
    pub fn put(&mut self, map: PageMap, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let low = self.load_page_for(map, key)?;
        let cached = self.cached_page(&low)?;
        if cached.page.value(key) == Some(&value) {
            return Ok(Some(value));
        }
        let old = cached.page.put(key, value);
        cached.dirty = true;
        self.split_oversized(map, low)?;
        Ok(old)
    }

    /// Removes an item; returns its value.
    pub fn remove(&mut self, map: PageMap, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let low = self.load_page_for(map, key)?;
        let cached = self.cached_page(&low)?;
        let old = cached.page.remove(key);
        if old.is_some() {
            cached.dirty = true;
            self.merge_sparse(map, low)?;
        }
        Ok(old)
    }

    /// Returns the keys that begin with `prefix`.
    pub fn keys_with_prefix(&mut self, map: PageMap, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut found = Vec::new();
        let mut from = prefix.to_vec();
        loop {
            let low = self.load_page_for(map, &from)?;
            let page = &self.cached_page(&low)?.page;
            let below = page.items().iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix));
            found.extend(below.cloned());
            match &page.end_key {
                Some(end) if end.starts_with(prefix) => from.clone_from(end),
                _ => return Ok(found),
            }
        }
    }

    /// Returns the writes of all changed pages.
    pub fn into_writes(self) -> Vec<KeyWrite> {
        let mut writes = Vec::new();
        for (key, cached) in self.pages {
            match cached {
                None => writes.push((key, None)),
                Some(cached) if cached.dirty => {
                    let bytes = cached.page.encode(&key);
                    writes.push((key, Some(bytes)));
                }
                Some(_) => {}
            }
        }
        writes
    }

    /// Splits the page until every part is within its limits.
    fn split_oversized(&mut self, map: PageMap, low: Vec<u8>) -> Result<(), StoreError> {
        let mut open = vec![low];
        while let Some(low) = open.pop() {
            let limits = self.limits.for_map(map);
            let cached = self.cached_page(&low)?;
            if !cached.page.is_oversized(limits) {
                continue;
            }
            let upper = cached.page.split();
            cached.dirty = true;
            let begins = upper.items().first().map(|(key, _)| map.page_key(key));
            if let Some(key) = begins {
                self.pages.insert(key.clone(), Some(CachedPage { page: upper, dirty: true }));
                open.push(key);
            }
            open.push(low);
        }
        Ok(())
    }

    /// Merges a page that has become sparse into the one before it. The first page stays.
    fn merge_sparse(&mut self, map: PageMap, low: Vec<u8>) -> Result<(), StoreError> {
        let limits = self.limits.for_map(map);
        if low == map.page_key(&[]) || !self.cached_page(&low)?.page.is_sparse(limits) {
            return Ok(());
        }
        let previous = self.load_page_before(map, &low)?;
        let page = self.cached_page(&low)?.page.clone();
        let neighbour = self.cached_page(&previous)?;
        if neighbour.page.end_key.as_ref().map(|end| map.page_key(end)).as_ref() != Some(&low) {
            return Err(StoreError("a page is lost".to_owned()));
        }
        if neighbour.page.can_merge(&page, limits) {
            neighbour.page.merge(page);
            neighbour.dirty = true;
            self.pages.insert(low, None);
        }
        Ok(())
    }

    /// Loads the page that `key` belongs to; returns its database key.
    fn load_page_for(&mut self, map: PageMap, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut bound = map.page_key(key);
        bound.push(0);
        let low = self.load_page_before(map, &bound)?;
        match &self.cached_page(&low)?.page.end_key {
            Some(end) if end.as_slice() <= key => Err(StoreError("a page is lost".to_owned())),
            _ => Ok(low),
        }
    }

    /// Loads the last page that begins before `bound`; returns its database key.
    fn load_page_before(&mut self, map: PageMap, bound: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut earlier = self.pages.range(..bound.to_vec()).rev().filter_map(|(key, cached)| cached.as_ref().map(|cached| (key, cached)));
        let pending = earlier.next().filter(|(key, _)| map.owns_page_key(key));
        if let Some((key, cached)) = pending
            && cached.page.end_key.as_ref().is_none_or(|end| map.page_key(end).as_slice() >= bound)
        {
            return Ok(key.clone());
        }
        let pending = pending.map(|(key, _)| key.clone());
        let mut bound = bound.to_vec();
        let stored = loop {
            match self.database.last_before(&bound)? {
                Some((key, _)) if matches!(self.pages.get(key.as_ref()), Some(None)) => bound = key.to_vec(),
                other => break other.filter(|(key, _)| map.owns_page_key(key)),
            }
        };
        match (pending, stored) {
            (Some(pending), Some((stored, _))) if pending.as_slice() >= stored.as_ref() => Ok(pending),
            (_, Some((stored, bytes))) => {
                let page = Page::from_view(&PageView::decode(&stored, bytes)?)?;
                self.pages.insert(stored.to_vec(), Some(CachedPage { page, dirty: false }));
                Ok(stored.to_vec())
            }
            (_, None) => Err(StoreError("the first page is lost".to_owned())),
        }
    }

    fn cached_page(&mut self, low: &[u8]) -> Result<&mut CachedPage, StoreError> {
        self.pages.get_mut(low).and_then(Option::as_mut).ok_or_else(|| StoreError("a page that was read is gone".to_owned()))
    }
}
