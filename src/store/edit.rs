//! Deciding what a batch of changes does to records, index and tally, before any of it is written.
//!
//! A record is its [`Place`]: a put replaces what stands there. A key has an id as well, and that names one key: a put of
//! a key takes away every other key of the same id (the key's blob was replaced), and a delete by id takes away every key
//! that has it. What a change does thus depends on the records alone and not on how they came to be, so that replaying
//! commits over a snapshot that was read meanwhile ends in the same state.

use std::sync::Arc;

use crate::model::change::{Change, Identity};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::Record;
use crate::store::database::{Database, Write};
use crate::store::draft::{Draft, Fullness};
use crate::store::generation::Damage;
use crate::store::index::{Name, names};
use crate::store::known::Asked;
use crate::store::pages::Map;
use crate::store::tally::{Line, Tally};

/// What was decided.
pub struct Edited {
    /// The pages to write.
    pub writes: Vec<Write>,
    /// What the records add up to afterwards.
    pub tally: Tally,
    /// What was answered differently before.
    pub touched: Vec<Asked>,
}

/// Decides a batch, each change after those before it.
pub fn edit(database: &Database, fullness: &Fullness, tally: Tally, changes: &[Change]) -> Result<Edited, Damage> {
    let mut edit = Edit { draft: Draft::new(database, fullness), tally, touched: Vec::new() };
    for change in changes {
        match change {
            Change::Put(entry) => edit.put(entry)?,
            Change::Delete(Identity::Key(id)) => edit.delete_keys(*id, None)?,
            Change::Delete(Identity::At(place, _)) => edit.delete(place)?,
        }
    }
    Ok(Edited { writes: edit.draft.writes(), tally: edit.tally, touched: edit.touched })
}

struct Edit<'a> {
    draft: Draft<'a>,
    tally: Tally,
    touched: Vec<Asked>,
}

impl Edit<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), Damage> {
        let place = entry.place();
        if let Some(Record::Key(key)) = entry.record().map(Arc::as_ref) {
            self.delete_keys(key.id, Some(place))?;
        }
        let line = Line { text: entry.text(), foreign: entry.foreign() };
        let old = self.draft.put(Map::Records, place.bytes(), line.value())?;
        if let Some(old) = &old {
            let old = Line::of(old)?;
            if old == line {
                return Ok(());
            }
            self.forget(place, old)?;
        }
        self.tally.add(line);
        let record = entry.record().map(Arc::as_ref);
        for name in record.map(names).unwrap_or_default() {
            if self.draft.put(Map::Index, &name.entry(place), Vec::new())?.is_none() {
                self.tally.index += 1;
            }
        }
        self.touched.extend(Asked::touched_by(place, record));
        Ok(())
    }

    fn delete_keys(&mut self, id: Id, but: Option<&Place>) -> Result<(), Damage> {
        let name = Name::key(id);
        for entry in self.draft.keys_below(Map::Index, name.bytes())? {
            match name.place(&entry) {
                Some(place) if Some(&place) != but => self.delete(&place)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn delete(&mut self, place: &Place) -> Result<(), Damage> {
        match self.draft.take(Map::Records, place.bytes())? {
            Some(old) => self.forget(place, Line::of(&old)?),
            None => Ok(()),
        }
    }

    /// Takes what stood at a place out of index and tally.
    fn forget(&mut self, place: &Place, old: Line<'_>) -> Result<(), Damage> {
        self.tally.remove(old);
        let entry = Entry::read(old.text).map_err(|error| Damage(format!("a record that cannot be read any more: {error}")))?;
        let record = entry.record().map(Arc::as_ref);
        for name in record.map(names).unwrap_or_default() {
            if self.draft.take(Map::Index, &name.entry(place))?.is_some() {
                self.tally.index = self.tally.index.saturating_sub(1);
            }
        }
        self.touched.extend(Asked::touched_by(place, record));
        Ok(())
    }
}
