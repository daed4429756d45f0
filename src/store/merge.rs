//! A directory with very many changes, as one stream in the order of a snapshot: what a generation built beside is made of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use crate::model::change::{Change, Identity};
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::order::Place;
use crate::model::record::Record;
use crate::store::generation::{Damage, Generation};

/// What changes make of each place that they touch; the same as applying them one after the other.
struct Outcome<'a> {
    base: &'a Generation,
    /// `None` where nothing stands any more.
    places: BTreeMap<Place, Option<Entry>>,
    /// Where the keys that were put stand, by id.
    keys: HashMap<Id, BTreeSet<Place>>,
}

/// All entries of `base` with the changes made, in the order of a snapshot.
pub fn changed(base: &Generation, changes: &[Change]) -> Result<impl Iterator<Item = Result<Entry, Damage>> + use<>, Damage> {
    let mut outcome = Outcome { base, places: BTreeMap::new(), keys: HashMap::new() };
    for change in changes {
        match change {
            Change::Put(entry) => outcome.put(entry)?,
            Change::Delete(Identity::Key(id)) => outcome.delete_keys(*id)?,
            Change::Delete(Identity::At(place, _)) => outcome.set(place.clone(), None),
        }
    }
    Ok(Merge { old: base.entries().peekable(), new: outcome.places.into_iter().peekable() })
}

impl Outcome<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), Damage> {
        if let Some(id) = key_id(entry) {
            self.delete_keys(id)?;
        }
        self.set(entry.place().clone(), Some(entry.clone()));
        Ok(())
    }

    fn delete_keys(&mut self, id: Id) -> Result<(), Damage> {
        for place in self.keys.remove(&id).unwrap_or_default() {
            self.places.insert(place, None);
        }
        for place in self.base.key_places(id)? {
            // A place that was changed since has another record now, or none.
            self.places.entry(place).or_insert(None);
        }
        Ok(())
    }

    fn set(&mut self, place: Place, entry: Option<Entry>) {
        if let Some(id) = entry.as_ref().and_then(key_id) {
            self.keys.entry(id).or_default().insert(place.clone());
        }
        let old = self.places.insert(place.clone(), entry.clone()).flatten();
        if let Some(id) = old.as_ref().and_then(key_id)
            && entry.as_ref().and_then(key_id) != Some(id)
            && let Some(places) = self.keys.get_mut(&id)
        {
            places.remove(&place);
        }
    }
}

fn key_id(entry: &Entry) -> Option<Id> {
    match entry.record().map(Arc::as_ref) {
        Some(Record::Key(key)) => Some(key.id),
        _ => None,
    }
}

struct Merge<O: Iterator, N: Iterator> {
    old: Peekable<O>,
    new: Peekable<N>,
}

impl<O, N> Iterator for Merge<O, N>
where
    O: Iterator<Item = Result<Entry, Damage>>,
    N: Iterator<Item = (Place, Option<Entry>)>,
{
    type Item = Result<Entry, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.old.peek(), self.new.peek()) {
                (Some(Ok(old)), Some((place, _))) if old.place() >= place => {
                    if old.place() == place {
                        self.old.next();
                    }
                }
                (Some(_), _) => return self.old.next(),
                (None, Some(_)) => {}
                (None, None) => return None,
            }
            if let Some((_, Some(entry))) = self.new.next() {
                return Some(Ok(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::changed;
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::store::generation::{Damage, Generation, Options};
    use crate::store::proof::{Model, change, entry, line};

    const OPTIONS: Options = Options { page_cache: 1 << 20, record_cache: 0 };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_stream_is_what_applying_one_after_the_other_makes(
            first in prop::collection::vec(line(), 0..30),
            changes in prop::collection::vec(change(), 0..60),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut model = Model::default();
            first.iter().for_each(|line| model.apply(&Change::Put(entry(line))));
            let base = Generation::load(folder.path(), &OPTIONS, model.0.values().cloned().map(Ok::<_, Damage>)).unwrap();
            changes.iter().for_each(|change| model.apply(change));
            let merged: Vec<Entry> = changed(&base, &changes).unwrap().map(Result::unwrap).collect();
            prop_assert!(merged.iter().eq(model.0.values()));
        }
    }
}
