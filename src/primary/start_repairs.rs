//! What a start finishes that the last end cut off: an apply's unpublished records, revocations, and what belonged to users who are gone.
//! On a full disk the primary serves without it, and finishes it once there is room. No commit comes before an apply's records.

use std::sync::Arc;

use crate::api::error::ApiError;
use crate::primary::directory::revocations;
use crate::primary::directory::writer::DirectoryWriter;
use crate::primary::user_data;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// The repairs of one start, until they are made.
pub struct StartRepairs {
    writer: Arc<DirectoryWriter>,
    is_done: bool,
}

impl StartRepairs {
    /// Makes the repairs, or leaves them for later if the disk is full. Blocks.
    pub fn begin(writer: Arc<DirectoryWriter>, store: &PrimaryStore) -> Result<Self, StoreError> {
        writer.leave_intent();
        let mut repairs = Self { writer, is_done: false };
        match repairs.make(store) {
            Ok(()) => repairs.is_done = true,
            Err(error) if store.check_room(true).is_err() => {
                tracing::warn!("what the last end of the primary cut off is finished once its disk has room: {}", error.message);
            }
            Err(error) => return Err(StoreError(error.message)),
        }
        Ok(repairs)
    }

    /// Makes the repairs if a full disk has kept them from being made. Blocks.
    pub fn complete(&mut self, store: &PrimaryStore) {
        if self.is_done {
            return;
        }
        match self.make(store) {
            Ok(()) => self.is_done = true,
            Err(error) => tracing::warn!("what the last end of the primary cut off cannot be finished yet: {}", error.message),
        }
    }

    fn make(&self, store: &PrimaryStore) -> Result<(), ApiError> {
        self.writer.lock().resolve_intent()?;
        complete_revocations(&self.writer, store)?;
        Ok(remove_orphaned(store)?)
    }
}

/// Makes the revocations that a crash kept from being made.
fn complete_revocations(writer: &DirectoryWriter, store: &PrimaryStore) -> Result<(), ApiError> {
    let count = revocations::resolve_interrupted(writer, store.private_store())?;
    if count > 0 {
        tracing::warn!(count, "made {count} revocations whose commands were interrupted when the primary last ended");
    }
    Ok(())
}

/// Removes what belongs to users who are not in the directory any more; a crash may have kept that from being done. Of a directory without
/// any user nothing is removed: it may have been begun anew after damage, and the next file brings the same people.
fn remove_orphaned(store: &PrimaryStore) -> Result<(), StoreError> {
    let directory = store.directory();
    if !directory.counts_by_kind().contains_key("user") {
        return Ok(());
    }
    let count = user_data::remove_orphaned(store.private_store(), &directory)?;
    if count > 0 {
        tracing::warn!(count, "removed {count} entries of users who are not in the directory any more");
    }
    Ok(())
}
