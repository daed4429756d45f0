//! Creating a primary's store (an empty directory with a random epoch, a random seed), and verifying an existing one.

use std::path::Path;

use crate::model::change::{Epoch, Head};
use crate::model::entry::Entry;
use crate::store::error::StoreError;
use crate::store::files::folder::FileError;
use crate::store::files::reserved_space;
use crate::store::generations::generation::{ExtraWrites, Generation, RoomCheck, StoreOptions};
use crate::store::generations::generations_folder::GenerationsFolder;
use crate::store::primary::journal::Journal;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};

/// The key of the seed in the private store.
const SEED_KEY: &[u8] = b"store/seed";

const RESTORE_STORE_REMEDY: &str = "restore the store's folder from a backup and then say `sidegate admin new-epoch`, \
                       or remove CURRENT in it to begin with an empty directory";

/// Why a primary's store did not open.
#[derive(Debug, thiserror::Error)]
pub enum PrimaryOpenError {
    /// A folder or file of the store is refused, or could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The directory or the private store is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens the directory and reads all of it; damage is refused with the remedy.
pub fn open_verified(folder: &Path, options: &StoreOptions) -> Result<Generation, StoreError> {
    let remedy =
        |StoreError(reason): StoreError| StoreError(format!("{reason}; {}", reserved_space::remedy(folder, &reason, RESTORE_STORE_REMEDY)));
    let generation = Generation::open(folder, options).map_err(remedy)?;
    let reason = match generation.is_intact() {
        Ok(true) => return Ok(generation),
        Ok(false) => "records are missing or old".to_owned(),
        Err(StoreError(reason)) => reason,
    };
    Err(remedy(StoreError(format!("{}: {reason}", folder.display()))))
}

/// Creates an empty directory with a new epoch.
pub fn create_empty(generations: &GenerationsFolder, options: &StoreOptions) -> Result<Generation, PrimaryOpenError> {
    let folder = generations.create_next()?;
    let generation = Generation::create(&folder, options, std::iter::empty::<Result<Entry, StoreError>>())?;
    start_journal(&generation, random_epoch()?, 0)?;
    generations.install(&folder)?;
    Ok(generation)
}

/// Moves the cursor without a commit and begins the journal there. On disk when it returns.
pub fn start_journal(generation: &Generation, epoch: Epoch, seq: u64) -> Result<(), StoreError> {
    generation.apply_with_extra(&[], |state| {
        let journal = Journal::starting_at(Head { epoch, seq, state });
        let mut writes = journal.trim_writes(generation.database())?;
        writes.push(journal.encode_header()?);
        Ok(Some(ExtraWrites { cursor: Some((epoch, seq)), writes, room: RoomCheck::Required }))
    })?;
    generation.flush()
}

/// Returns a new random epoch.
pub fn random_epoch() -> Result<Epoch, StoreError> {
    let mut bytes = [0; 16];
    fill_random(&mut bytes)?;
    Ok(Epoch(u128::from_be_bytes(bytes)))
}

fn fill_random(bytes: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(bytes).map_err(|error| StoreError(format!("the system gives no random bytes: {error}")))
}

/// Returns the seed in a private store, if there is one.
pub fn read_seed(private_store: &PrivateStore) -> Result<Option<Vec<u8>>, StoreError> {
    private_store.read(SEED_KEY)
}

/// Returns the seed in the private store; makes it if there is none.
pub fn load_or_create_seed(private_store: &PrivateStore) -> Result<[u8; 32], StoreError> {
    if let Some(seed) = read_seed(private_store)? {
        return seed.try_into().map_err(|_| StoreError("the private store's seed is not 32 bytes".to_owned()));
    }
    let mut seed = [0; 32];
    fill_random(&mut seed)?;
    private_store.write(PrivateWrites { entries: vec![(SEED_KEY.to_vec(), Some(seed.to_vec()))] })?;
    Ok(seed)
}
