//! Two ordered maps out of pages in one database: the records by their place, and the index.
//!
//! The page of a key is the last one that begins at or before it. The first page of a map begins at nothing and is always
//! there. What this file finds is true of one moment for each page, so a walk over several may see a later page later.

use crate::store::database::Database;
use crate::store::generation::Damage;
use crate::store::page::{Page, View};

/// One of the maps: the first byte of its pages' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// Place to record.
    Records,
    /// Name and place to nothing.
    Index,
}

impl Map {
    /// The key of the page that begins at `low`.
    pub fn page_key(self, low: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(low.len() + 2);
        key.push(self.prefix());
        key.extend_from_slice(low);
        key
    }

    /// Whether a key of the database is one of this map's pages.
    pub fn holds(self, key: &[u8]) -> bool {
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
pub fn begin(database: &Database) -> Result<(), Damage> {
    for map in [Map::Records, Map::Index] {
        let key = map.page_key(&[]);
        database.insert(&key, Page::default().encode(&key))?;
    }
    Ok(())
}

/// The page that a key belongs to.
pub fn page_of(database: &Database, map: Map, key: &[u8]) -> Result<View, Damage> {
    let mut bound = map.page_key(key);
    bound.push(0);
    match database.before(&bound)? {
        Some((found, bytes)) if map.holds(&found) => covering(View::open(&found, bytes)?, key),
        _ => Err(Damage("the first page is lost".to_owned())),
    }
}

fn covering(view: View, key: &[u8]) -> Result<View, Damage> {
    match view.end() {
        Some(end) if end <= key => Err(Damage("a page is lost".to_owned())),
        _ => Ok(view),
    }
}

/// The pages from the one that `from` belongs to, ascending.
pub struct Walk {
    database: Database,
    map: Map,
    next: Option<Vec<u8>>,
}

impl Walk {
    /// Begins at the page of `from`.
    pub fn new(database: &Database, map: Map, from: &[u8]) -> Self {
        Self { database: database.clone(), map, next: Some(from.to_vec()) }
    }
}

impl Iterator for Walk {
    /// The key to go on from (earlier ones in the page were seen already), and the page.
    type Item = Result<(Vec<u8>, View), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.next.take()?;
        let view = page_of(&self.database, self.map, &from);
        if let Ok(view) = &view {
            self.next = view.end().map(<[u8]>::to_vec);
        }
        Some(view.map(|view| (from, view)))
    }
}

/// Calls `seen` with each item from `from` on while it says so.
pub fn each(database: &Database, map: Map, from: &[u8], mut seen: impl FnMut(&[u8], &[u8]) -> Result<bool, Damage>) -> Result<(), Damage> {
    for page in Walk::new(database, map, from) {
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
