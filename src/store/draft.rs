//! Changes of pages before they are written: pages that were read are held here until all of a batch is decided.

use std::collections::BTreeMap;

use crate::store::database::{Database, Write};
use crate::store::generation::Damage;
use crate::store::page::{Bounds, Page, View};
use crate::store::pages::Map;

/// How full the pages of both maps get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fullness {
    /// Pages of records.
    pub records: Bounds,
    /// Pages of the index, whose items are small.
    pub index: Bounds,
}

impl Fullness {
    /// What was measured to load and read fastest.
    pub const DEFAULT: Self = Self {
        records: Bounds { fill_items: 32, fill_bytes: 8 << 10, most_items: 48, most_bytes: 16 << 10 },
        index: Bounds { fill_items: 128, fill_bytes: 8 << 10, most_items: 192, most_bytes: 16 << 10 },
    };

    /// The bounds of one map.
    pub const fn of(&self, map: Map) -> &Bounds {
        match map {
            Map::Records => &self.records,
            Map::Index => &self.index,
        }
    }
}

struct Held {
    page: Page,
    changed: bool,
}

/// The pages that a batch will write. Reads see what was drafted before.
pub struct Draft<'a> {
    database: &'a Database,
    fullness: &'a Fullness,
    /// By the page's key; `None` is a page that goes.
    held: BTreeMap<Vec<u8>, Option<Held>>,
}

impl<'a> Draft<'a> {
    /// Nothing changed yet.
    pub const fn new(database: &'a Database, fullness: &'a Fullness) -> Self {
        Self { database, fullness, held: BTreeMap::new() }
    }

    /// Puts one item; gives the value that was there.
    pub fn put(&mut self, map: Map, key: &[u8], value: Vec<u8>) -> Result<Option<Vec<u8>>, Damage> {
        let low = self.page_of(map, key)?;
        let held = self.held_at(&low)?;
        if held.page.value(key) == Some(&value) {
            return Ok(Some(value));
        }
        let old = held.page.put(key, value);
        held.changed = true;
        self.split(map, low)?;
        Ok(old)
    }

    /// Takes one item out; gives its value.
    pub fn take(&mut self, map: Map, key: &[u8]) -> Result<Option<Vec<u8>>, Damage> {
        let low = self.page_of(map, key)?;
        let held = self.held_at(&low)?;
        let old = held.page.take(key);
        if old.is_some() {
            held.changed = true;
            self.join(map, low)?;
        }
        Ok(old)
    }

    /// The keys that begin with `prefix`.
    pub fn keys_below(&mut self, map: Map, prefix: &[u8]) -> Result<Vec<Vec<u8>>, Damage> {
        let mut found = Vec::new();
        let mut from = prefix.to_vec();
        loop {
            let low = self.page_of(map, &from)?;
            let page = &self.held_at(&low)?.page;
            let below = page.items().iter().map(|(key, _)| key).filter(|key| key.starts_with(prefix));
            found.extend(below.cloned());
            match &page.end {
                Some(end) if end.starts_with(prefix) => from.clone_from(end),
                _ => return Ok(found),
            }
        }
    }

    /// What to write.
    pub fn writes(self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (key, held) in self.held {
            match held {
                None => writes.push((key, None)),
                Some(held) if held.changed => {
                    let bytes = held.page.encode(&key);
                    writes.push((key, Some(bytes)));
                }
                Some(_) => {}
            }
        }
        writes
    }

    /// Splits the page until every part is within bounds.
    fn split(&mut self, map: Map, low: Vec<u8>) -> Result<(), Damage> {
        let mut open = vec![low];
        while let Some(low) = open.pop() {
            let bounds = self.fullness.of(map);
            let held = self.held_at(&low)?;
            if !held.page.over(bounds) {
                continue;
            }
            let upper = held.page.split();
            held.changed = true;
            let begins = upper.items().first().map(|(key, _)| map.page_key(key));
            if let Some(key) = begins {
                self.held.insert(key.clone(), Some(Held { page: upper, changed: true }));
                open.push(key);
            }
            open.push(low);
        }
        Ok(())
    }

    /// Joins a page that has become sparse with the one before it. The first page stays.
    fn join(&mut self, map: Map, low: Vec<u8>) -> Result<(), Damage> {
        let bounds = self.fullness.of(map);
        if low == map.page_key(&[]) || !self.held_at(&low)?.page.sparse(bounds) {
            return Ok(());
        }
        let before = self.last_before(map, &low)?;
        let page = self.held_at(&low)?.page.clone();
        let neighbour = self.held_at(&before)?;
        if neighbour.page.end.as_ref().map(|end| map.page_key(end)).as_ref() != Some(&low) {
            return Err(Damage("a page is lost".to_owned()));
        }
        if neighbour.page.fits(&page, bounds) {
            neighbour.page.join(page);
            neighbour.changed = true;
            self.held.insert(low, None);
        }
        Ok(())
    }

    /// The key of the page that `key` belongs to. The page is held afterwards.
    fn page_of(&mut self, map: Map, key: &[u8]) -> Result<Vec<u8>, Damage> {
        let mut bound = map.page_key(key);
        bound.push(0);
        let low = self.last_before(map, &bound)?;
        match &self.held_at(&low)?.page.end {
            Some(end) if end.as_slice() <= key => Err(Damage("a page is lost".to_owned())),
            _ => Ok(low),
        }
    }

    /// The key of the last page that begins before `bound`. The page is held afterwards.
    fn last_before(&mut self, map: Map, bound: &[u8]) -> Result<Vec<u8>, Damage> {
        let mut earlier = self.held.range(..bound.to_vec()).rev().filter_map(|(key, held)| held.as_ref().map(|held| (key, held)));
        let drafted = earlier.next().filter(|(key, _)| map.holds(key));
        if let Some((key, held)) = drafted
            && held.page.end.as_ref().is_none_or(|end| map.page_key(end).as_slice() >= bound)
        {
            return Ok(key.clone());
        }
        let drafted = drafted.map(|(key, _)| key.clone());
        let mut bound = bound.to_vec();
        let stored = loop {
            match self.database.before(&bound)? {
                Some((key, _)) if matches!(self.held.get(key.as_ref()), Some(None)) => bound = key.to_vec(),
                other => break other.filter(|(key, _)| map.holds(key)),
            }
        };
        match (drafted, stored) {
            (Some(drafted), Some((stored, _))) if drafted.as_slice() >= stored.as_ref() => Ok(drafted),
            (_, Some((stored, bytes))) => {
                let page = Page::of(&View::open(&stored, bytes)?)?;
                self.held.insert(stored.to_vec(), Some(Held { page, changed: false }));
                Ok(stored.to_vec())
            }
            (_, None) => Err(Damage("the first page is lost".to_owned())),
        }
    }

    fn held_at(&mut self, low: &[u8]) -> Result<&mut Held, Damage> {
        self.held.get_mut(low).and_then(Option::as_mut).ok_or_else(|| Damage("a page that was read is gone".to_owned()))
    }
}
