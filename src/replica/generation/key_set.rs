//! The keys of a snapshot, as far as it takes to count how many keys of another generation are missing from it.

use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::key::Fingerprint;
use crate::model::loss_guard::Loss;
use crate::model::record::Record;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// How the line of a key begins: other lines need not be parsed to count keys.
const KEY_LINE_PREFIX: &str = r#"{"kind":"key","#;

/// The first eight bytes of the fingerprint of each key.
#[derive(Default)]
pub struct KeySet {
    prefixes: Vec<u64>,
}

impl KeySet {
    /// Adds the record, if it is a key.
    pub fn insert(&mut self, entry: &Entry) {
        if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
            self.prefixes.push(fingerprint_prefix(&key.key.fingerprint()));
        }
    }

    /// Sorts the set, which must be done before anything is counted.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.prefixes.sort_unstable();
        self
    }

    /// Returns how many keys `serving` has, and how many of them are neither in this set nor in `candidate`, the generation that was
    /// loaded from the snapshot and has followed since. Reads `serving` through. Blocks.
    pub fn count_missing(&self, serving: &Generation, candidate: &Generation) -> Result<Loss, StoreError> {
        let mut missing = Loss { lost: 0, total: 0 };
        for line in serving.record_lines() {
            let line = line?;
            if !line.starts_with(KEY_LINE_PREFIX) {
                continue;
            }
            let entry = Entry::parse(&line).map_err(|error| StoreError(error.to_string()))?;
            if let Some(Record::Key(key)) = entry.record().map(AsRef::as_ref) {
                missing.total += 1;
                missing.lost += u64::from(!self.contains(&key.key.fingerprint(), candidate)?);
            }
        }
        Ok(missing)
    }

    fn contains(&self, fingerprint: &Fingerprint, candidate: &Generation) -> Result<bool, StoreError> {
        if self.prefixes.binary_search(&fingerprint_prefix(fingerprint)).is_ok() {
            return Ok(true);
        }
        candidate.key_by_fingerprint(fingerprint).map(|key| key.is_some()).map_err(|error| StoreError(error.to_string()))
    }
}

fn fingerprint_prefix(fingerprint: &Fingerprint) -> u64 {
    fingerprint.0.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
