//! Changes of pages before they are written: pages that were read are held here until all of a batch is decided.

use std::collections::BTreeMap;

use crate::store::database::{Database, KeyWrite};
use crate::store::error::StoreError;
use crate::store::pages::page::{Page, PageLimits, PageView};
use crate::store::pages::page_map::PageMap;

/// How full the pages of both maps get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapPageLimits {
    /// Pages of records.
    pub records: PageLimits,
    /// Pages of the index, whose items are small.
    pub index: PageLimits,
}

impl MapPageLimits {
    /// What was measured to load and read fastest.
    pub const DEFAULT: Self = Self {
        records: PageLimits { fill_items: 32, fill_bytes: 8 << 10, max_items: 48, max_bytes: 16 << 10 },
        index: PageLimits { fill_items: 128, fill_bytes: 8 << 10, max_items: 192, max_bytes: 16 << 10 },
    };

    /// The bounds of one map.
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

/// The pages that a batch will write. Reads see what was drafted before.
pub struct PageTransaction<'a> {
    database: &'a Database,
    limits: &'a MapPageLimits,
    /// By the page's key; `None` is a page that goes.
    pages: BTreeMap<Vec<u8>, Option<CachedPage>>,
}

impl<'a> PageTransaction<'a> {
    /// Nothing changed yet.
    pub const fn new(database: &'a Database, fullness: &'a MapPageLimits) -> Self {
        Self { database, limits: fullness, pages: BTreeMap::new() }
    }

    /// Puts one item; gives the value that was there.
    pub fn put(&mut self, map: PageMap, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, StoreError> {
        let low = self.load_page_for(map, key)?;
        let held = self.cached_page(&low)?;
        if held.page.value(key) == Some(&value) {
            return Ok(Some(value));
        }
        let old = held.page.put(key, value);
        held.dirty = true;
        self.split_oversized(map, low)?;
        Ok(old)
    }

    /// Takes one item out; gives its value.
    pub fn remove(&mut self, map: PageMap, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let low = self.load_page_for(map, key)?;
        let held = self.cached_page(&low)?;
        let old = held.page.remove(key);
        if old.is_some() {
            held.dirty = true;
            self.merge_sparse(map, low)?;
        }
        Ok(old)
    }

    /// The keys that begin with `prefix`.
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

    /// What to write.
    pub fn into_writes(self) -> Vec<KeyWrite> {
        let mut writes = Vec::new();
        for (key, held) in self.pages {
            match held {
                None => writes.push((key, None)),
                Some(held) if held.dirty => {
                    let bytes = held.page.encode(&key);
                    writes.push((key, Some(bytes)));
                }
                Some(_) => {}
            }
        }
        writes
    }

    /// Splits the page until every part is within bounds.
    fn split_oversized(&mut self, map: PageMap, low: Vec<u8>) -> Result<(), StoreError> {
        let mut open = vec![low];
        while let Some(low) = open.pop() {
            let bounds = self.limits.for_map(map);
            let held = self.cached_page(&low)?;
            if !held.page.is_oversized(bounds) {
                continue;
            }
            let upper = held.page.split();
            held.dirty = true;
            let begins = upper.items().first().map(|(key, _)| map.page_key(key));
            if let Some(key) = begins {
                self.pages.insert(key.clone(), Some(CachedPage { page: upper, dirty: true }));
                open.push(key);
            }
            open.push(low);
        }
        Ok(())
    }

    /// Joins a page that has become sparse with the one before it. The first page stays.
    fn merge_sparse(&mut self, map: PageMap, low: Vec<u8>) -> Result<(), StoreError> {
        let bounds = self.limits.for_map(map);
        if low == map.page_key(&[]) || !self.cached_page(&low)?.page.is_sparse(bounds) {
            return Ok(());
        }
        let before = self.load_page_before(map, &low)?;
        let page = self.cached_page(&low)?.page.clone();
        let neighbour = self.cached_page(&before)?;
        if neighbour.page.end_key.as_ref().map(|end| map.page_key(end)).as_ref() != Some(&low) {
            return Err(StoreError("a page is lost".to_owned()));
        }
        if neighbour.page.can_merge(&page, bounds) {
            neighbour.page.merge(page);
            neighbour.dirty = true;
            self.pages.insert(low, None);
        }
        Ok(())
    }

    /// The key of the page that `key` belongs to. The page is held afterwards.
    fn load_page_for(&mut self, map: PageMap, key: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut bound = map.page_key(key);
        bound.push(0);
        let low = self.load_page_before(map, &bound)?;
        match &self.cached_page(&low)?.page.end_key {
            Some(end) if end.as_slice() <= key => Err(StoreError("a page is lost".to_owned())),
            _ => Ok(low),
        }
    }

    /// The key of the last page that begins before `bound`. The page is held afterwards.
    fn load_page_before(&mut self, map: PageMap, bound: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut earlier = self.pages.range(..bound.to_vec()).rev().filter_map(|(key, held)| held.as_ref().map(|held| (key, held)));
        let drafted = earlier.next().filter(|(key, _)| map.owns_page_key(key));
        if let Some((key, held)) = drafted
            && held.page.end_key.as_ref().is_none_or(|end| map.page_key(end).as_slice() >= bound)
        {
            return Ok(key.clone());
        }
        let drafted = drafted.map(|(key, _)| key.clone());
        let mut bound = bound.to_vec();
        let stored = loop {
            match self.database.last_before(&bound)? {
                Some((key, _)) if matches!(self.pages.get(key.as_ref()), Some(None)) => bound = key.to_vec(),
                other => break other.filter(|(key, _)| map.owns_page_key(key)),
            }
        };
        match (drafted, stored) {
            (Some(drafted), Some((stored, _))) if drafted.as_slice() >= stored.as_ref() => Ok(drafted),
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
