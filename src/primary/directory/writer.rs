//! Commits to the directory: one writer at a time, on a blocking thread, counted, and with one line in the log.
//!
//! The store has a lock of its own for each commit. The lock here is held longer: an apply checks a whole file against the directory and
//! then writes, and nothing may be written in between. Nor may anything be written before what a crash or a full disk cut off is finished:
//! who takes the lock finishes it, or is refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::ApiError;
use crate::model::change::{Change, Head};
use crate::model::entry::Entry;
use crate::primary::directory::repairs::{self, Repairs};
use crate::primary::directory::unpublished;
use crate::primary::metrics::PrimaryMetrics;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::store::primary::primary_store::PrimaryStore;

/// What is said before the reason for which nothing can be committed yet.
const UNFINISHED_MESSAGE: &str = "The primary must first finish what its last end or a full disk cut off, and cannot yet.";
/// What is said of a revocation that is stored and whose commit the disk did not take.
const MARKED_MESSAGE: &str = "The revocation is stored and is not in force yet, because the primary's store takes no more now. It is made \
    before any other change, by itself, once the store can be written: make room on its disk.";

/// Writes to the directory of one store.
pub struct DirectoryWriter {
    store: PrimaryStore,
    metrics: Arc<PrimaryMetrics>,
    lock: Mutex<()>,
    /// Whether the private store may have an apply's intent that is to be resolved before the next commit.
    has_intent: AtomicBool,
    /// Whether the directory and the private store may be a step apart, which is to be repaired before the next commit.
    needs_repairs: AtomicBool,
}

/// The right to write, for as long as it is held.
pub struct WriteGuard<'a> {
    writer: &'a DirectoryWriter,
    _lock: MutexGuard<'a, ()>,
}

/// Why a commit was not made.
struct CommitFailure {
    error: ApiError,
    /// Whether it was decided already, and what was decided may have left a mark.
    was_decided: bool,
}

impl DirectoryWriter {
    /// Returns the writer of a store that was just opened, which counts its commits in `metrics`. What the last end cut off is to be
    /// finished before its first commit.
    #[must_use]
    pub const fn new(store: PrimaryStore, metrics: Arc<PrimaryMetrics>) -> Self {
        Self { store, metrics, lock: Mutex::new(()), has_intent: AtomicBool::new(true), needs_repairs: AtomicBool::new(true) }
    }

    /// Returns whether something is to be finished before the next commit.
    #[must_use]
    pub fn has_unfinished(&self) -> bool {
        self.has_intent.load(Ordering::Acquire) || self.needs_repairs.load(Ordering::Acquire)
    }

    /// Waits until no other writer is at work, and finishes what a crash or a full disk cut off: whoever has the guard finds a directory and
    /// a private store that agree. Refuses if that cannot be finished: 424 with the reason where the disk takes nothing. Blocks.
    pub fn lock(&self) -> Result<WriteGuard<'_>, ApiError> {
        let guard = WriteGuard { writer: self, _lock: self.lock.lock().unwrap_or_else(PoisonError::into_inner) };
        guard.finish().map_err(|error| ApiError { message: format!("{UNFINISHED_MESSAGE} {}", error.message), ..error })?;
        Ok(guard)
    }

    /// Decides on the present directory and commits what was decided, with no other writer in between. The commit is on disk when this
    /// returns; without changes nothing is committed, and the head is the present one. `action` names the act in the log.
    pub async fn commit<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError> + Send + 'static,
    ) -> Result<(Head, T), ApiError> {
        let writer = Arc::clone(self);
        run_blocking(move || writer.lock()?.commit(action, decide)).await
    }

    /// As [`DirectoryWriter::commit`], for a revocation, whose mark `decide` stores: once that is stored, an error says that the revocation
    /// is made before any other commit.
    pub async fn revoke<T: Send + 'static>(
        self: &Arc<Self>,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError> + Send + 'static,
    ) -> Result<(Head, T), ApiError> {
        let writer = Arc::clone(self);
        let revoke = move || {
            writer.lock()?.try_commit(action, decide).map_err(|CommitFailure { error, was_decided }| {
                if was_decided && error.status == StatusCode::FAILED_DEPENDENCY {
                    ApiError::new(error.status, MARKED_MESSAGE)
                } else {
                    error
                }
            })
        };
        run_blocking(revoke).await
    }
}

impl WriteGuard<'_> {
    /// Finishes what is unfinished. Blocks.
    fn finish(&self) -> Result<(), ApiError> {
        self.resolve_intent()?;
        if self.writer.needs_repairs.load(Ordering::Acquire) {
            let Repairs { head, changes } = repairs::make(&self.writer.store)?;
            self.writer.needs_repairs.store(false, Ordering::Release);
            if changes > 0 {
                self.record_commit("complete-revocations", &head, changes as u64);
            }
        }
        Ok(())
    }

    /// Makes the changes of an intent that was left, if its commit was made, else drops them. Blocks.
    pub fn resolve_intent(&self) -> Result<(), StoreError> {
        if self.writer.has_intent.load(Ordering::Acquire) {
            let store = &self.writer.store;
            unpublished::recover_intent(store.private_store(), &store.durable_head()?)?;
            self.writer.has_intent.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Notes that an apply's intent may be left, which says by the number of the head whether its commit was made: no commit is made before
    /// it is resolved.
    pub fn leave_intent(&self) {
        self.writer.has_intent.store(true, Ordering::Release);
    }

    /// Notes that the private store may have what the directory has no more, or has not yet: no commit is made before that is repaired.
    pub fn leave_repairs(&self) {
        self.writer.needs_repairs.store(true, Ordering::Release);
    }

    /// Commits as [`DirectoryWriter::commit`] does. Blocks.
    pub fn commit<T>(
        &self,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError>,
    ) -> Result<(Head, T), ApiError> {
        self.try_commit(action, decide).map_err(|failure| failure.error)
    }

    fn try_commit<T>(
        &self,
        action: &'static str,
        decide: impl FnOnce(&Generation) -> Result<(Vec<Change>, T), ApiError>,
    ) -> Result<(Head, T), CommitFailure> {
        self.resolve_intent().map_err(|error| CommitFailure { error: error.into(), was_decided: false })?;
        let mut was_decided = false;
        let committed = self.writer.store.commit(|directory| {
            let (changes, outcome) = decide(directory)?;
            was_decided = true;
            let count = changes.len();
            Ok::<_, ApiError>((changes, (count, outcome)))
        });
        let (head, (count, outcome)) = committed.map_err(|error| {
            if was_decided {
                self.leave_repairs();
            }
            CommitFailure { error, was_decided }
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
