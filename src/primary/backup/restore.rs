//! Builds a store from a backup beside the present one, and puts it in its place. The primary must not run.
//!
//! The file is read whole and checked before anything is touched. The new store is built and opened in a folder of its own; then the two
//! change places, which a crash does not leave half done (`store/primary/replacement.rs`). The new store has a new epoch, so that every host
//! takes a whole snapshot; the ids of created projects go on far above those of the backup; and what the replaced store has as revoked since
//! the backup is revoked in the new one as well, before it is in its place.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::api::error::ApiError;
use crate::model::entry::Entry;
use crate::model::time::Time;
use crate::primary::backup::restored::{self, RestoredMark};
use crate::primary::backup::revoked_since::{self, RevokedSince};
use crate::primary::directory::{project_ids, repairs, reserved_projects};
use crate::store::error::StoreError;
use crate::store::files::folder::{self, FileError};
use crate::store::files::lock_file::acquire_lock;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::GenerationsFolder;
use crate::store::primary::init::{PrimaryOpenError, random_epoch, start_journal};
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::{PrivateStore, PrivateWrites};
use crate::store::primary::replacement::{Installed, Replacement};
use crate::wire::directory::backup_lines::{self, BackupCounts, BackupError, BackupHeader, BackupItem, BackupReader};

const BUFFER_BYTES: usize = 1 << 20;
/// How many private entries are written at once.
const BATCH_ENTRIES: usize = 1_000;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup is of.
    pub header: BackupHeader,
    /// How much it holds.
    pub counts: BackupCounts,
    /// Where the store is that was replaced; `None` if there was none.
    pub replaced: Option<PathBuf>,
    /// Why the new store is not in its place yet, although the switch has begun: the next start, or another restore, goes on with it.
    pub unfinished: Option<FileError>,
    /// What is revoked since the backup.
    pub since: RevokedSince,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file is not a whole backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The store's folder is refused: another process uses it, or it is another user's.
    #[error(transparent)]
    Folder(#[from] FileError),
    /// The new store could not be built.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new store does not open.
    #[error(transparent)]
    Open(#[from] PrimaryOpenError),
    /// The new store could not be prepared.
    #[error("{}", .0.message)]
    Prepare(ApiError),
}

impl From<ApiError> for RestoreError {
    fn from(error: ApiError) -> Self {
        Self::Prepare(error)
    }
}

/// Restores a backup as the store in `folder`. After an error the store there is the one before; once the switch has begun there is none, but
/// [`Restored::unfinished`]. Blocks.
pub fn restore(backup: &File, folder: &Path, options: StoreOptions, now: Time) -> Result<Restored, RestoreError> {
    let (header, counts) = backup_lines::verify(BufReader::with_capacity(BUFFER_BYTES, backup))?;
    folder::ensure_private(folder)?;
    let _lock = acquire_lock(&folder.join("LOCK"))?;
    let replacement = Replacement::begin(folder)?;
    let built = build(backup, replacement.building(), options).and_then(|()| prepare(&replacement, folder, options, &header, now));
    let since = built.inspect_err(|_| {
        // What cannot be removed now is removed by the next start.
        let _ = replacement.abandon();
    })?;
    let Installed { replaced, unfinished } = replacement.install(now)?;
    Ok(Restored { header, counts, replaced, unfinished, since })
}

/// Builds the store of a backup that was verified.
fn build(mut backup: &File, building: &Path, options: StoreOptions) -> Result<(), RestoreError> {
    backup.seek(SeekFrom::Start(0)).map_err(BackupError::Io)?;
    let mut reader = BackupReader::begin(BufReader::with_capacity(BUFFER_BYTES, backup))?;
    let seq = reader.header().seq;
    let generations = GenerationsFolder::open(building, options)?;
    let path = generations.create_next()?;
    let mut first_private = None;
    let entries = std::iter::from_fn(|| match reader.next_item() {
        Ok(Some(BackupItem::Record(entry))) => Some(Ok(entry)),
        Ok(Some(BackupItem::Private(key, value))) => {
            first_private = Some((key, Some(value)));
            None
        }
        Ok(None) => None,
        Err(error) => Some(Err(error.into())),
    });
    let generation = Generation::create::<RestoreError>(&path, &options, fuse_after_error(entries))?;
    start_journal(&generation, random_epoch()?, seq)?;
    drop(generation);
    generations.install(&path)?;
    let private_store = PrivateStore::open(&building.join("ledger"))?;
    let mut writes = PrivateWrites { entries: first_private.into_iter().collect() };
    while let Some(item) = reader.next_item()? {
        if let BackupItem::Private(key, value) = item {
            writes.entries.push((key, Some(value)));
        }
        if writes.entries.len() >= BATCH_ENTRIES {
            private_store.write(std::mem::take(&mut writes))?;
        }
    }
    Ok(private_store.write(writes)?)
}

/// Ends with the first error.
fn fuse_after_error(entries: impl Iterator<Item = Result<Entry, RestoreError>>) -> impl Iterator<Item = Result<Entry, RestoreError>> {
    let mut failed = false;
    entries.take_while(move |entry| !std::mem::replace(&mut failed, entry.is_err()))
}

/// Opens what was built as the primary will, and prepares it for hosts that know what came after the backup.
fn prepare(
    replacement: &Replacement,
    folder: &Path,
    options: StoreOptions,
    header: &BackupHeader,
    now: Time,
) -> Result<RevokedSince, RestoreError> {
    let store = PrimaryStore::open(replacement.building(), options)?;
    let private_store = store.private_store();
    // What a backup holds as reserved may have been a project since.
    reserved_projects::release_all(private_store)?;
    project_ids::leave_gap(&store.directory(), private_store)?;
    let mark = restored::mark_write(RestoredMark { made_at: header.made_at })?;
    private_store.write(PrivateWrites { entries: vec![mark] })?;
    let since = revoked_since::carry_over(folder, &options, &store, header, now)?;
    // What was carried over is in force before anybody can be answered from this store.
    repairs::make(&store)?;
    Ok(since)
}
