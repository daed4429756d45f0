//! A directory merged with very many changes, as one stream in snapshot order: the input of a new generation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// The effect of changes on each sort key, the same as applying them one after the other.
struct ChangeOverlay<'a> {
    base: &'a Generation,
    /// `None` where the record is removed.
    entries: BTreeMap<SortKey, Option<Entry>>,
    /// The sort keys of the keys that were put, by id.
    keys_by_id: HashMap<Id, BTreeSet<SortKey>>,
}

/// Iterates over all entries of `base` with the changes applied, in snapshot order.
pub fn merge_changes(base: &Generation, changes: &[Change]) -> Result<impl Iterator<Item = Result<Entry, StoreError>> + use<>, StoreError> {
    let mut overlay = ChangeOverlay { base, entries: BTreeMap::new(), keys_by_id: HashMap::new() };
    for change in changes {
        match change {
            Change::Put(entry) => overlay.put(entry)?,
            Change::Delete(RecordIdentity::Key(id)) => overlay.delete_keys(*id)?,
            Change::Delete(RecordIdentity::Other(sort_key, _)) => overlay.set(sort_key.clone(), None),
        }
    }
    Ok(MergeIter { base: base.entries().peekable(), overlay: overlay.entries.into_iter().peekable() })
}

impl ChangeOverlay<'_> {
    fn put(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if let Some(id) = key_id(entry) {
            self.delete_keys(id)?;
        }
        self.set(entry.sort_key().clone(), Some(entry.clone()));
        Ok(())
    }

    fn delete_keys(&mut self, id: Id) -> Result<(), StoreError> {
        for sort_key in self.keys_by_id.remove(&id).unwrap_or_default() {
            self.entries.insert(sort_key, None);
        }
        for sort_key in self.base.find_keys_by_id(id)? {
            // Where the changes put or removed a record themselves, that counts.
            self.entries.entry(sort_key).or_insert(None);
        }
        Ok(())
    }

    fn set(&mut self, sort_key: SortKey, entry: Option<Entry>) {
        if let Some(id) = entry.as_ref().and_then(key_id) {
            self.keys_by_id.entry(id).or_default().insert(sort_key.clone());
        }
        let base_entry = self.entries.insert(sort_key.clone(), entry.clone()).flatten();
        if let Some(id) = base_entry.as_ref().and_then(key_id)
            && entry.as_ref().and_then(key_id) != Some(id)
            && let Some(sort_keys) = self.keys_by_id.get_mut(&id)
        {
            sort_keys.remove(&sort_key);
        }
    }
}

fn key_id(entry: &Entry) -> Option<Id> {
    match entry.record().map(Arc::as_ref) {
        Some(Record::Key(key)) => Some(key.id),
        _ => None,
    }
}

struct MergeIter<O: Iterator, N: Iterator> {
    base: Peekable<O>,
    overlay: Peekable<N>,
}

impl<O, N> Iterator for MergeIter<O, N>
where
    O: Iterator<Item = Result<Entry, StoreError>>,
    N: Iterator<Item = (SortKey, Option<Entry>)>,
{
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match (self.base.peek(), self.overlay.peek()) {
                (Some(Ok(base_entry)), Some((sort_key, _))) if base_entry.sort_key() >= sort_key => {
                    if base_entry.sort_key() == sort_key {
                        self.base.next();
                    }
                }
                (Some(_), _) => return self.base.next(),
                (None, Some(_)) => {}
                (None, None) => return None,
            }
            if let Some((_, Some(entry))) = self.overlay.next() {
                return Some(Ok(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::merge_changes;
    use crate::model::change::Change;
    use crate::model::entry::Entry;
    use crate::store::error::StoreError;
    use crate::store::generations::generation::{Generation, StoreOptions};
    use crate::store::tests::sample_records::{ReferenceModel, any_change, any_record_line, entry};

    const OPTIONS: StoreOptions = StoreOptions { page_cache_bytes: 1 << 20, record_cache_entries: 0 };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn the_stream_is_what_applying_one_after_the_other_makes(
            first in prop::collection::vec(any_record_line(), 0..30),
            changes in prop::collection::vec(any_change(), 0..60),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut model = ReferenceModel::default();
            first.iter().for_each(|line| model.apply(&Change::Put(entry(line))));
            let base = Generation::create(folder.path(), &OPTIONS, model.0.values().cloned().map(Ok::<_, StoreError>)).unwrap();
            changes.iter().for_each(|change| model.apply(change));
            let merged: Vec<Entry> = merge_changes(&base, &changes).unwrap().map(Result::unwrap).collect();
            prop_assert!(merged.iter().eq(model.0.values()));
        }
    }
}
