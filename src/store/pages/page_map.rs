//! Two ordered maps out of pages in one database: the records by their place, and the index.
//!
//! The page of a key is the last one that begins at or before it. The first page of a map begins at nothing and is always
//! there. What this file finds is true of one moment for each page, so a walk over several may see a later page later.

use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::pages::page::{Page, PageView};

/// One of the maps: the first byte of its pages' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageMap {
    /// Place to record.
    Records,
    /// Name and place to nothing.
    Index,
}

impl PageMap {
    /// The key of the page that begins at `low`.
    pub fn page_key(self, low: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(low.len() + 2);
        key.push(self.prefix());
        key.extend_from_slice(low);
        key
    }

    /// Whether a key of the database is one of this map's pages.
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

/// Makes the maps of a database that holds nothing yet.
pub fn create_maps(database: &Database) -> Result<(), StoreError> {
    for map in [PageMap::Records, PageMap::Index] {
        let key = map.page_key(&[]);
        database.insert(&key, Page::default().encode(&key))?;
    }
    Ok(())
}

/// The page that a key belongs to.
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

/// The pages from the one that `from` belongs to, ascending.
pub struct PageIter {
    database: Database,
    map: PageMap,
    next: Option<Vec<u8>>,
}

impl PageIter {
    /// Begins at the page of `from`.
    pub fn new(database: &Database, map: PageMap, from: &[u8]) -> Self {
        Self { database: database.clone(), map, next: Some(from.to_vec()) }
    }
}

impl Iterator for PageIter {
    /// The key to go on from (earlier ones in the page were seen already), and the page.
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

/// Calls `seen` with each item from `from` on while it says so.
pub fn for_each_item(
    database: &Database,
    map: PageMap,
    from: &[u8],
    mut seen: impl FnMut(&[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    for page in PageIter::new(database, map, from) {
        let (from, view) = page?;
        for item in view.items() {
            let (key, value) = item?;
            if key >= from.as_slice() && !seen(key, value)? {
                return Ok(());
            }
        }
    }
    Ok(())
}
