//! What was revoked after a backup was made, as the store says that the backup replaces.
//!
//! Only the store that was backed up can say it: one with the same seed, which is not older than the backup, and which itself was not restored
//! from something that did not know. Whatever else lies in the folder, its revocations are carried over too, and it is said that they may not be
//! all.

use std::path::Path;

use crate::model::time::Time;
use crate::primary::backup::restored;
use crate::primary::directory::revocations::{self, Revocation};
use crate::store::error::StoreError;
use crate::store::generations::generation::StoreOptions;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::PrivateWrites;
use crate::store::primary::replaced_store::{self, ReplacedStore};
use crate::wire::directory::backup_lines::BackupHeader;

/// What was revoked after a backup was made.
#[derive(Debug)]
pub enum RevokedSince {
    /// The replaced store says so; it is revoked in the new one too.
    Known(Vec<Revocation>),
    /// Nobody here knows all of it.
    Unknown {
        /// What the store in the folder has all the same; it is revoked in the new one too.
        carried_over: Vec<Revocation>,
        /// Why that store does not know; `None` if there was none.
        reason: Option<String>,
    },
}

/// Marks in `store`, which was built from the backup, what the store in `folder` has as revoked and the backup has not. Notes in it until when
/// it does not know what was revoked. Blocks.
pub fn carry_over(
    folder: &Path,
    options: &StoreOptions,
    store: &PrimaryStore,
    header: &BackupHeader,
    now: Time,
) -> Result<RevokedSince, StoreError> {
    let private_store = store.private_store();
    let unknown = |reason: Option<String>| RevokedSince::Unknown { carried_over: Vec::new(), reason };
    let mut unknown_until = restored::unknown_until(private_store)?;
    let since = match ReplacedStore::open(folder, options) {
        Err(StoreError(reason)) => unknown(Some(reason)),
        Ok(None) => unknown(replaced_store::has_directory(folder).then(|| "it has no private store".to_owned())),
        Ok(Some(replaced)) => {
            let gap = restored::unknown_until(&replaced.private_store)?;
            unknown_until = unknown_until.max(gap);
            let carried_over = revocations::carry_over(&replaced.private_store, private_store, store.head().seq)?;
            match why_incomplete(&replaced, store, header, gap) {
                None => RevokedSince::Known(carried_over),
                Some(reason) => RevokedSince::Unknown { carried_over, reason: Some(reason) },
            }
        }
    };
    if matches!(since, RevokedSince::Unknown { .. }) {
        unknown_until = unknown_until.max(Some(now));
    }
    if let Some(until) = unknown_until {
        private_store.write(PrivateWrites { entries: vec![restored::unknown_until_write(until)?] })?;
    }
    Ok(since)
}

/// Returns why a store does not know all that was revoked since the backup; `None` if it does.
fn why_incomplete(replaced: &ReplacedStore, store: &PrimaryStore, header: &BackupHeader, gap: Option<Time>) -> Option<String> {
    if replaced.seed.as_deref() != Some(&store.token_seed()) {
        return Some("it is not the store that was backed up, but one that was begun anew, or another primary's".to_owned());
    }
    // Of two within one millisecond nobody knows which was first.
    if let Some(until) = gap.filter(|until| *until >= header.made_at) {
        return Some(format!("it was restored itself, and does not know all that was revoked before {until}"));
    }
    match &replaced.seq {
        Ok(seq) if *seq >= header.seq => None,
        Ok(seq) => Some(format!("it is older than the backup: its last commit is {seq}, and that of the backup {}", header.seq)),
        Err(StoreError(reason)) => Some(reason.clone()),
    }
}
