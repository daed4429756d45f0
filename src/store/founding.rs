//! How a primary's store begins: an empty directory with a random epoch, a random seed; and how an old one is trusted again.

use std::path::Path;

use crate::model::change::{Epoch, Head};
use crate::model::entry::Entry;
use crate::store::generation::{Beside, Damage, Generation, Options};
use crate::store::generations::Generations;
use crate::store::journal::Journal;
use crate::store::ledger::{Ledger, Writes};
use crate::store::primary::NotOpened;
use crate::store::reserve;

/// Where the ledger keeps the seed.
const SEED: &[u8] = b"store/seed";

const RESTORE: &str = "restore the store's folder from a backup and then say `sidegate admin new-epoch`, \
                       or remove CURRENT in it to begin with an empty directory";

/// Opens the directory and reads it whole; what does not add up is refused with what to do.
pub fn open_whole(folder: &Path, options: &Options) -> Result<Generation, Damage> {
    let remedy = |Damage(reason): Damage| Damage(format!("{reason}; {}", reserve::remedy(folder, RESTORE)));
    let generation = Generation::open(folder, options).map_err(remedy)?;
    let reason = match generation.whole() {
        Ok(true) => return Ok(generation),
        Ok(false) => "records are missing or old".to_owned(),
        Err(Damage(reason)) => reason,
    };
    Err(remedy(Damage(format!("{}: {reason}", folder.display()))))
}

/// An empty directory of a new epoch.
pub fn found(generations: &Generations, options: &Options) -> Result<Generation, NotOpened> {
    let folder = generations.next()?;
    let generation = Generation::load(&folder, options, std::iter::empty::<Result<Entry, Damage>>())?;
    begin(&generation, random_epoch()?, 0)?;
    generations.install(&folder)?;
    Ok(generation)
}

/// Moves the cursor with no commit and begins the journal there. On disk when it returns.
pub fn begin(generation: &Generation, epoch: Epoch, seq: u64) -> Result<(), Damage> {
    generation.apply_with(&[], |state| {
        let journal = Journal::beginning(Head { epoch, seq, state });
        let mut writes = journal.removals(generation.database())?;
        writes.push(journal.write()?);
        Ok(Some(Beside { cursor: Some((epoch, seq)), writes }))
    })?;
    generation.flush()
}

/// A new life of the store.
pub fn random_epoch() -> Result<Epoch, Damage> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    Ok(Epoch(u128::from_be_bytes(bytes)))
}

fn random(bytes: &mut [u8]) -> Result<(), Damage> {
    getrandom::fill(bytes).map_err(|error| Damage(format!("the system gives no random bytes: {error}")))
}

/// The seed that the ledger keeps, made if there is none.
pub fn seed_in(ledger: &Ledger) -> Result<[u8; 32], Damage> {
    if let Some(kept) = ledger.read(SEED)? {
        return kept.try_into().map_err(|_| Damage("the ledger's seed is not 32 bytes".to_owned()));
    }
    let mut seed = [0; 32];
    random(&mut seed)?;
    ledger.write(Writes { entries: vec![(SEED.to_vec(), Some(seed.to_vec()))] })?;
    Ok(seed)
}
