//! Two ordered maps made of pages in one database: the records by their sort key, and the index.
//!
//! The page of a key is the last one that begins at or before it. The first page of a map begins at the empty key and always
//! exists. Each page is read at one moment, so an iteration over several may see a later state in later pages.

use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::pages::page::{Page, PageView};

/// One of the maps: the first byte of its pages' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageMap {
    /// Sort key to record.
    Records,
    /// Index key and sort key to nothing.
    Index,
}

impl PageMap {
    /// Returns the database key of the page that begins at `low`.
    pub fn page_key(self, low: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(low.len() + 2);
        key.push(self.prefix());
        key.extend_from_slice(low);
        key
    }

    /// Returns whether a key of the database is that of a page of this map.
    pub fn owns_page_key(self, key: &[u8]) -> bool {
        key.first() == Some(&self.prefix())
    }

    const fn prefix(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::Index => 2,
        }
    }
}

/// Creates both maps in an empty database.
pub fn create_maps(database: &Database) -> Result<(), StoreError> {
    for map in [PageMap::Records, PageMap::Index] {
        let key = map.page_key(&[]);
        database.insert(&key, Page::default().encode(&key))?;
    }
    Ok(())
}

/// Returns the page that a key belongs to.
pub fn find_page(database: &Database, map: PageMap, key: &[u8]) -> Result<PageView, StoreError> {
    let mut bound = map.page_key(key);
    bound.push(0);
    match database.last_before(&bound)? {
        Some((found, bytes)) if map.owns_page_key(&found) => check_covers(PageView::decode(&found, bytes)?, key),
        _ => Err(StoreError("the first page is lost".to_owned())),
    }
}

fn check_covers(view: PageView, key: &[u8]) -> Result<PageView, StoreError> {
    match view.end_key() {
        Some(end) if end <= key => Err(StoreError("a page is lost".to_owned())),
        _ => Ok(view),
    }
}

/// Iterates over pages, ascending.
pub struct PageIter {
    database: Database,
    map: PageMap,
    next: Option<Vec<u8>>,
}

impl PageIter {
    /// Starts at the page that `from` belongs to.
    pub fn new(database: &Database, map: PageMap, from: &[u8]) -> Self {
        Self { database: database.clone(), map, next: Some(from.to_vec()) }
    }
}

impl Iterator for PageIter {
    /// The key to continue from (earlier ones in the page were returned already), and the page.
    type Item = Result<(Vec<u8>, PageView), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let view = find_page(&self.database, self.map, &from);
        if let Ok(view) = &view {
            self.next = view.end_key().map(<[u8]>::to_vec);
        }
        Some(view.map(|view| (from, view)))
    }
}

/// Returns the last key of a map that is before `bound`.
pub fn last_key_before(database: &Database, map: PageMap, bound: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut page_bound = map.page_key(bound);
    // A page whose items before the bound were all removed leads to the page before it.
    while let Some((found, bytes)) = database.last_before(&page_bound)?.filter(|(found, _)| map.owns_page_key(found)) {
        let view = PageView::decode(&found, bytes)?;
        let mut last = None;
        for item in view.items() {
            let (key, _) = item?;
            if key >= bound {
                break;
            }
            last = Some(key.to_vec());
        }
        if last.is_some() {
            return Ok(last);
        }
        page_bound = found.to_vec();
    }
    Ok(None)
}

/// Calls `visit` with each item from the key `from` on, until it returns false.
pub fn for_each_item(
    database: &Database,
    map: PageMap,
    from: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for page in PageIter::new(database, map, from) {
        let (from, view) = page?;
        for item in view.items() {
            let (key, value) = item?;
            if key >= from.as_slice() && !visit(key, value)? {
                return Ok(());
            }
        }
    }
    Ok(())
}
