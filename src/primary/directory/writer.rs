//! Commits to the directory: one writer at a time, on a blocking thread, counted, and with one line in the log.
//!
//! The store has a lock of its own for each commit. The lock here is held longer: an apply checks a whole file against the directory and
//! then writes, and nothing may be written in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::model::change::{Change, Head};
use crate::model::entry::Entry;
use crate::primary::directory::unpublished;
use crate::primary::metrics::PrimaryMetrics;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;

/// Writes to the directory of one store.
pub struct DirectoryWriter {
    store: PrimaryStore,
    metrics: Arc<PrimaryMetrics>,
    lock: Mutex<()>,
    /// Whether the private store may have an apply's intent that is to be resolved before the next commit.
    has_intent: AtomicBool,
}

/// The right to write, for as long as it is held.
pub struct WriteGuard<'a> {
    writer: &'a DirectoryWriter,
    _lock: MutexGuard<'a, ()>,
}

impl DirectoryWriter {
    /// Returns the writer of this store, which counts its commits in `metrics`.
    #[must_use]
    pub const fn new(store: PrimaryStore, metrics: Arc<PrimaryMetrics>) -> Self {
        Self { store, metrics, lock: Mutex::new(()), has_intent: AtomicBool::new(false) }
    }

    /// Notes that an apply's intent may be left, which says by the number of the head whether its commit was made: no commit is made before
    /// it is resolved.
    pub fn leave_intent(&self) {
        self.has_intent.store(true, Ordering::Release);
    }

    /// Waits until no other writer is at work. Blocks.
    pub fn lock(&self) -> WriteGuard<'_> {
        WriteGuard { writer: self, _lock: self.lock.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Decides on the present directory and commits what was decided, with no other writer in between. The commit is on disk when this
    /// returns; without changes nothing is committed, and the head is the present one. `action` names the act in the log.
    pub async fn commit<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError> + Send + 'static,
    ) -> Result<(Head, T), ApiError> {
        let writer = Arc::clone(self);
        run_blocking(move || writer.lock().commit(action, decide)).await
    }
}

impl WriteGuard<'_> {
    /// Makes the changes of an intent that was left, if its commit was made, else drops them. Blocks.
    pub fn resolve_intent(&self) -> Result<(), StoreError> {
        if self.writer.has_intent.load(Ordering::Acquire) {
            let store = &self.writer.store;
            unpublished::recover_intent(store.private_store(), &store.durable_head()?)?;
            self.writer.has_intent.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// As [`DirectoryWriter::leave_intent`].
    pub fn leave_intent(&self) {
        self.writer.leave_intent();
    }

    /// Commits as [`DirectoryWriter::commit`] does. Blocks.
    pub fn commit<T>(
        &self,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError>,
    ) -> Result<(Head, T), ApiError> {
        self.resolve_intent()?;
        let (head, (count, outcome)) = self.writer.store.commit(|directory| {
            let (changes, outcome) = decide(directory)?;
            let count = changes.len();
            Ok::<_, ApiError>((changes, (count, outcome)))
        })?;
        if count > 0 {
            self.record_commit(action, &head, count as u64);
        }
        Ok((head, outcome))
    }

    /// Replaces the whole directory by these entries, which come in the order of a snapshot. Blocks.
    pub fn replace<E: From<StoreError>>(&self, action: &'static str, entries: impl Iterator<Item = Result<Entry, E>>) -> Result<Head, E> {
        self.resolve_intent()?;
        let head = self.writer.store.replace_directory(entries)?;
        self.record_commit(action, &head, head.state.count);
        Ok(head)
    }

    fn record_commit(&self, action: &'static str, head: &Head, changes: u64) {
        self.writer.metrics.commits.inc();
        let (seq, records) = (head.seq, head.state.count);
        tracing::info!(action, seq, changes, records, "{action} committed {changes} changes at seq {seq}");
    }
}
