//! Making a generation in one go: pages are filled one after the other and written by plain inserts, each once.

use crate::model::entry::Entry;
use crate::model::order::Place;
use crate::store::database::Database;
use crate::store::draft::Fullness;
use crate::store::generation::Damage;
use crate::store::index::names;
use crate::store::page::{Bounds, Page};
use crate::store::pages::{Map, begin};
use crate::store::spool::Spool;
use crate::store::tally::{Line, Tally};

/// Fills an empty database with entries in the order of a snapshot; the tally comes last, so that what was not finished is
/// never taken for a generation. Not flushed.
pub fn fill<E: From<Damage>>(
    database: &Database,
    fullness: &Fullness,
    entries: impl Iterator<Item = Result<Entry, E>>,
) -> Result<Tally, E> {
    if database.was_there() {
        return Err(Damage(format!("{}: there is a database already", database.folder().display())).into());
    }
    begin(database)?;
    let spooled = |error: std::io::Error| Damage(format!("{}: {error}", database.folder().display()));
    let mut spool = Spool::new(database.folder().to_owned());
    let mut tally = Tally::default();
    let mut records = Filling::new(database, Map::Records, &fullness.records);
    for entry in entries {
        let entry = entry?;
        let line = Line { text: entry.text(), foreign: entry.foreign() };
        records.push(entry.place().bytes(), &line.value())?;
        tally.add(line);
        for name in entry.record().map(|record| names(record)).unwrap_or_default() {
            spool.push(&name.entry(entry.place())).map_err(spooled)?;
            tally.index += 1;
        }
    }
    records.finish()?;
    let mut index = Filling::new(database, Map::Index, &fullness.index);
    for entry in spool.sorted().map_err(spooled)? {
        index.push(&entry.map_err(spooled)?, &[])?;
    }
    index.finish()?;
    let (key, value) = tally.write()?;
    database.insert(&key, value.unwrap_or_default())?;
    Ok(tally)
}

/// Fills the pages of one map. A page is written when the first key of the next is known.
struct Filling<'a> {
    database: &'a Database,
    map: Map,
    bounds: &'a Bounds,
    low: Vec<u8>,
    last: Option<Vec<u8>>,
    page: Page,
}

impl<'a> Filling<'a> {
    fn new(database: &'a Database, map: Map, bounds: &'a Bounds) -> Self {
        Self { database, map, bounds, low: Vec::new(), last: None, page: Page::default() }
    }

    fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damage> {
        if self.last.as_deref().is_some_and(|last| last >= key) {
            let place = Place::from_bytes(key);
            return Err(Damage(format!("records are not in the order of a snapshot: {place:?}")));
        }
        if self.page.full(self.bounds) {
            self.page.end = Some(key.to_vec());
            self.write()?;
            self.low = key.to_vec();
        }
        self.page.push(key, value);
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        Ok(())
    }

    fn finish(mut self) -> Result<(), Damage> {
        self.write()
    }

    fn write(&mut self) -> Result<(), Damage> {
        let key = self.map.page_key(&self.low);
        let page = std::mem::take(&mut self.page);
        self.database.insert(&key, page.encode(&key))
    }
}
