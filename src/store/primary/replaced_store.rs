//! A store that is to be replaced, opened only to be asked. Nothing is created where something is missing.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::store::error::StoreError;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::current_generation;
use crate::store::primary::init::read_seed;
use crate::store::primary::private_store::PrivateStore;

/// What there is of a store.
pub struct ReplacedStore {
    /// Its private store.
    pub private_store: PrivateStore,
    /// The seed that was made with it; a store that was restored has that of its backup.
    pub seed: Option<Vec<u8>>,
    /// The number of its last commit, or why that is not known.
    pub seq: Result<u64, StoreError>,
}

impl ReplacedStore {
    /// Opens the store in a folder of which the caller holds the lock. `None` if it has no private store, or an empty folder for one. Blocks.
    pub fn open(folder: &Path, options: &StoreOptions) -> Result<Option<Self>, StoreError> {
        let ledger = folder.join("ledger");
        match fs::read_dir(&ledger).map(|mut entries| entries.next().is_none()) {
            Ok(false) => {}
            Ok(true) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::io(&ledger)(error).into()),
        }
        let private_store = PrivateStore::open(&ledger)?;
        let seed = read_seed(&private_store)?;
        Ok(Some(Self { private_store, seed, seq: read_seq(folder, options) }))
    }
}

/// Returns whether a folder has a directory, whatever became of its private store.
#[must_use]
pub fn has_directory(folder: &Path) -> bool {
    folder.join("CURRENT").exists()
}

fn read_seq(folder: &Path, options: &StoreOptions) -> Result<u64, StoreError> {
    let missing = || StoreError(format!("{}: it has no directory", folder.display()));
    let generation = Generation::open(&current_generation(folder)?.ok_or_else(missing)?, options)?;
    generation.head().map(|head| head.seq).ok_or_else(missing)
}
