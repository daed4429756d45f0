//! What a start finishes that the last end cut off: an apply's unpublished records, revocations, and what belonged to users who are gone.
//! Where the disk takes no writes the primary serves without it, and finishes it once it can: before the first commit at the latest, because
//! the directory's writer lets nobody write before.

use std::sync::Arc;
use std::time::Duration;

use crate::api::error::ApiError;
use crate::model::time::BootTime;
use crate::primary::bounded_call::{BoundedCall, CallOutcome};
use crate::primary::directory::writer::DirectoryWriter;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// What is unfinished, until it is made.
pub struct StartRepairs {
    writer: Arc<DirectoryWriter>,
    attempt: Option<BoundedCall<Result<(), ApiError>>>,
    last_error: Option<String>,
}

impl StartRepairs {
    /// Finishes it, or leaves it for later if the disk takes no writes. Blocks.
    pub fn begin(writer: Arc<DirectoryWriter>, store: &PrimaryStore) -> Result<Self, StoreError> {
        match writer.lock().map(drop) {
            Ok(()) => {}
            Err(error) if store.look_for_room(true).is_err() => {
                tracing::warn!("what the last end of the primary cut off is finished once its disk takes writes: {}", error.message);
            }
            Err(error) => return Err(StoreError(error.message)),
        }
        Ok(Self { writer, attempt: None, last_error: None })
    }

    /// Tries once more if something is unfinished, on a thread of its own: it may wait for another writer, or for the disk.
    pub fn try_again(&mut self, now: BootTime) {
        match self.attempt.as_ref().map(|attempt| attempt.wait(Duration::ZERO)) {
            Some(CallOutcome::Pending) => return,
            Some(CallOutcome::Returned(Err(error))) => self.note_error(error.message),
            Some(CallOutcome::Panicked) => self.note_error("it panicked".to_owned()),
            Some(CallOutcome::Returned(Ok(()))) | None => self.last_error = None,
        }
        self.attempt = None;
        if self.writer.has_unfinished() {
            let writer = Arc::clone(&self.writer);
            match BoundedCall::begin("repairs", now, move || writer.lock().map(drop)) {
                Ok(attempt) => self.attempt = Some(attempt),
                Err(error) => self.note_error(format!("no thread could be started: {error}")),
            }
        }
    }

    /// Logs a reason once.
    fn note_error(&mut self, reason: String) {
        if self.last_error.as_ref() != Some(&reason) {
            tracing::warn!(reason, "what the last end of the primary or a full disk cut off cannot be finished yet: {reason}");
            self.last_error = Some(reason);
        }
    }
}
