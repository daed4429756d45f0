//! One generation: the records of a directory, their indices and the cursor, in one sled database.

use std::collections::BTreeMap;
use std::path::Path;

use crate::model::change::{Change, Epoch, Head, Identity};
use crate::model::digest::State;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::record::DeployGrant;
use std::sync::Arc;

/// How much memory a store may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// sled's page cache, in bytes.
    pub page_cache: u64,
    /// Decoded records kept.
    pub record_cache: usize,
}

/// Something on disk that cannot be trusted or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct Damage(pub String);

/// An open generation. Cheap to clone; reads from any thread, one writer at a time (held inside).
#[derive(Clone)]
pub struct Generation {
    _inner: Arc<()>,
}

impl Generation {
    /// Opens an existing one. Blocks; survives a panic inside sled. Removes `snap.*.generating` first.
    pub fn open(_folder: &Path, _options: &Options) -> Result<Self, Damage> {
        todo!()
    }

    /// Makes a new one out of entries in snapshot order, by plain inserts. It has no cursor until [`Generation::apply`] or
    /// [`Generation::stand`] gives it one. `entries` may stop with an error of the caller's.
    pub fn load<E: From<Damage>>(_folder: &Path, _options: &Options, _entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Self, E> {
        todo!()
    }

    /// One atomic batch: the changes in their order, and the cursor if one is given. Gives what the store now holds.
    pub fn apply(&self, _changes: &[Change], _cursor: Option<(Epoch, u64)>) -> Result<State, Damage> {
        todo!()
    }

    /// On disk, or not: what was applied counts only after this.
    pub fn flush(&self) -> Result<(), Damage> {
        todo!()
    }

    /// The cursor with the state; `None` if none was ever stored.
    #[must_use]
    pub fn head(&self) -> Option<Head> {
        todo!()
    }

    /// What the store says that it holds.
    #[must_use]
    pub fn state(&self) -> State {
        todo!()
    }

    /// How many records of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        todo!()
    }

    /// How many records are not wholly understood.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        todo!()
    }

    /// All records, in the order of a snapshot. Other writes go on meanwhile and may or may not be seen.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Damage>> + Send + use<> {
        std::iter::empty()
    }

    /// Reads everything and adds it up. Equal to [`Generation::state`] unless the database lost something.
    pub fn scan(&self) -> Result<State, Damage> {
        todo!()
    }

    /// One record by its identity.
    pub fn entry(&self, _identity: &Identity) -> Result<Option<Entry>, Damage> {
        todo!()
    }

    /// The grants of a deploy key.
    pub fn deploy_grants(&self, _key: Id) -> Result<Vec<Arc<DeployGrant>>, Damage> {
        todo!()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        todo!()
    }
}
