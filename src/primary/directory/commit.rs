//! Committing to the directory: one act at a time, off the answering threads, counted, and with one line in the log.
//!
//! The store has one writer at a time as well. The turn here is longer: an apply judges a whole file against the directory
//! and then writes, and nothing may be written between.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::model::change::{Change, Head};
use crate::model::entry::Entry;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// The turn to write.
pub struct WriteGuard<'a> {
    state: &'a PrimaryState,
    _lock: MutexGuard<'a, ()>,
}

/// Waits for the turn to write. Blocks.
pub fn lock_writes(house: &PrimaryState) -> WriteGuard<'_> {
    WriteGuard { state: house, _lock: house.write_lock.lock().unwrap_or_else(PoisonError::into_inner) }
}

/// Decides on the directory as it stands and commits what was decided, with no other writer between. On disk when it returns; without
/// changes nothing is committed, and the head is the present one. `what` names the act in the log.
pub async fn commit<T: Send + 'static>(
    house: &Arc<PrimaryState>,
    what: &'static str,
    decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError> + Send + 'static,
) -> Result<(Head, T), ApiError> {
    let house = Arc::clone(house);
    run_blocking(move || lock_writes(&house).commit(what, decide)).await
}

impl WriteGuard<'_> {
    /// As [`commit`]. Blocks.
    pub fn commit<T>(
        &self,
        what: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError>,
    ) -> Result<(Head, T), ApiError> {
        let (head, (changes, told)) = self.state.store.commit(|directory| {
            let (changes, told) = decide(directory)?;
            let count = changes.len();
            Ok::<_, ApiError>((changes, (count, told)))
        })?;
        if changes > 0 {
            self.record_commit(what, &head, changes as u64);
        }
        Ok((head, told))
    }

    /// A whole new directory, in the order of a snapshot. Blocks.
    pub fn replace<E: From<StoreError>>(&self, what: &'static str, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        let head = self.state.store.replace_directory(entries)?;
        self.record_commit(what, &head, head.state.count);
        Ok(head)
    }

    fn record_commit(&self, what: &'static str, head: &Head, changes: u64) {
        self.state.metrics.commits.inc();
        tracing::info!(what, seq = head.seq, changes, records = head.state.count, "a commit");
    }
}
