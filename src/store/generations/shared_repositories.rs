//! The repositories that two records of a generation lead to. Nobody may have them: each record's members would be let into the other's.
//!
//! A primary refuses a file that makes one; stores of earlier versions may have some, and a primary of an earlier version may send some.
//! They are found by reading all projects and snippets: when a generation is opened, and after a change of a project or a snippet while
//! there are some or the directory is small. 8 bytes of a hash stand for a place, so that a million of them need little memory.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::model::change::Change;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::model::repository_place::RepositoryPlace;
use crate::model::sort_key::SortKey;
use crate::store::database::Database;
use crate::store::error::StoreError;
use crate::store::pages::page_map::{PageMap, for_each_item};
use crate::store::pages::stored_record::{StoredRecord, parse_entry};

/// Up to how many projects and snippets all are read again after each change of one of them.
pub const MAX_RECORDS_READ_AGAIN: u64 = 5_000;
/// How many records are named.
const MAX_NAMED: usize = 10;

/// The places of the repositories that two records lead to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedRepositories {
    places: BTreeSet<u64>,
    named: Vec<String>,
}

impl SharedRepositories {
    /// Reads all projects and snippets. Blocks.
    pub fn find(database: &Database) -> Result<Self, StoreError> {
        let (mut all, mut projects, mut sides) = (Vec::new(), Vec::new(), Vec::new());
        for_each_place(database, |_, place| {
            let own = place_hash(place.storage, place.stem);
            all.push(own);
            if place.has_sides {
                projects.push(own);
            }
            if let Some(project) = place.overlapping_stems().project {
                sides.push((own, place_hash(place.storage, project)));
            }
        })?;
        all.sort_unstable();
        projects.sort_unstable();
        let equal = |pair: &[u64]| pair.first().filter(|first| Some(*first) == pair.last()).copied();
        let mut places: BTreeSet<u64> = all.windows(2).filter_map(equal).collect();
        for (own, project) in sides {
            if projects.binary_search(&project).is_ok() {
                places.extend([own, project]);
            }
        }
        let mut found = Self { places, named: Vec::new() };
        if !found.places.is_empty() {
            found.named = found.name_records(database)?;
        }
        Ok(found)
    }

    /// Returns how many places there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.places.len() as u64
    }

    /// Returns whether another record leads to a repository of this place.
    #[must_use]
    pub fn contains(&self, place: &RepositoryPlace<'_>) -> bool {
        !self.places.is_empty() && self.places.contains(&place_hash(place.storage, place.stem))
    }

    /// Returns the alarm's text, which names the records; `None` if there are none.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        let named = self.named.join(", ");
        (!self.places.is_empty()).then(|| {
            format!("records lead to one repository, and none of them is answered: {named}; apply a file that gives each its own `relative_path`")
        })
    }

    fn name_records(&self, database: &Database) -> Result<Vec<String>, StoreError> {
        let mut named = Vec::new();
        for_each_place(database, |record, place| {
            if named.len() < MAX_NAMED && self.contains(&place) {
                match record {
                    Record::Project(project) => named.push(format!("project {} (`{}`)", project.id, project.relative_path)),
                    Record::Snippet(snippet) => named.push(format!("snippet {} (`{}`)", snippet.id, snippet.relative_path)),
                    _ => {}
                }
            }
        })?;
        Ok(named)
    }
}

/// Returns whether a change is of a record that has repositories.
#[must_use]
pub fn has_repository(change: &Change) -> bool {
    let sort_key = match change {
        Change::Put(entry) => entry.sort_key(),
        Change::Delete(RecordIdentity::Other(sort_key, _)) => sort_key,
        Change::Delete(RecordIdentity::Key(_)) => return false,
    };
    prefixes().iter().any(|prefix| sort_key.as_bytes().starts_with(prefix.as_bytes()))
}

fn prefixes() -> [SortKey; 2] {
    [SortKey::projects_prefix(), SortKey::snippets_prefix()]
}

fn for_each_place(database: &Database, mut visit: impl FnMut(&Record, RepositoryPlace<'_>)) -> Result<(), StoreError> {
    for prefix in prefixes() {
        for_each_item(database, PageMap::Records, prefix.as_bytes(), |sort_key, value| {
            let has_prefix = sort_key.starts_with(prefix.as_bytes());
            if has_prefix
                && let Some(record) = parse_entry(StoredRecord::decode(value)?.text)?.record()
                && let Some(place) = RepositoryPlace::of_record(record)
            {
                visit(record, place);
            }
            Ok(has_prefix)
        })?;
    }
    Ok(())
}

fn place_hash(storage: &str, stem: &str) -> u64 {
    let hash = Sha256::new().chain_update(storage).chain_update([0]).chain_update(stem).finalize();
    hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
