//! Giving up a damaged generation, and reading one through for an operator.

use std::sync::Arc;

use crate::model::clock;
use crate::replica::blocking::run_blocking;
use crate::replica::follow::serving_store::ServingStore;
use crate::replica::follow::store_scan::{StoreScan, verify_generation};
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::serving::Serving;
use crate::replica::state::status::{FeedRelation, VerifyError, VerifyReport, VerifyResult};
use crate::store::generations::generation::Generation;

impl ServingStore {
    pub(super) async fn quarantine(&mut self, generation: Generation, damage: &str) {
        self.tracked = None;
        self.scan = StoreScan::Idle;
        self.state.publish(Serving::clear);
        self.flush_requests.send_replace(None);
        self.state.details().relation = FeedRelation::Nothing;
        let generations = Arc::clone(&self.generations);
        let is_current = self.pending.take().is_none();
        let moved = run_blocking(move || {
            drop(generation);
            if is_current {
                generations.quarantine_current()?;
            }
            Ok::<_, StoreTaskError>(())
        });
        if let Err(error) = moved.await {
            tracing::warn!("failed to move the damaged store to quarantine: {error}");
        }
        self.clear_drift_marker();
        self.request_rebuild(damage);
    }

    pub(super) fn request_rebuild(&self, damage: &str) {
        self.state.details().counters.quarantines += 1;
        let message = format!("the store on disk was damaged ({damage}); it is in quarantine, the primary is asked, a new one is built");
        self.state.alarms.raise(Alarm::Damage, &*message, clock::wall_time());
        self.state.record_error(message);
        self.state.resync_requests.request("the store was damaged");
    }

    /// Reads everything and compares it. The feed waits meanwhile, so that what is read does not change.
    pub async fn verify(&mut self) -> Result<VerifyReport, VerifyError> {
        let Some(tracked) = &self.tracked else {
            let reason = self.state.details().last_error.as_ref().map(|error| error.message.clone());
            return Err(VerifyError::NoStore(reason.unwrap_or_else(|| "none has been fetched yet".to_owned())));
        };
        let generation = tracked.generation().clone();
        let head = tracked.synced_head().or_else(|| tracked.feed_position());
        let primary =
            self.state.details().primary.filter(|heard| head.is_some_and(|head| (head.epoch, head.seq) == (heard.epoch, heard.seq)));
        let report = match verify_generation(generation.clone(), primary).await {
            Ok(report) => report,
            Err(error) => {
                self.quarantine(generation, &error.to_string()).await;
                return Err(VerifyError::NoStore(error.to_string()));
            }
        };
        match report.finding {
            VerifyResult::Damaged => self.quarantine(generation, "a scan has found other records than were stored").await,
            VerifyResult::Unlike => self.state.resync_requests.request("a scan has found other records than the primary has"),
            VerifyResult::Equal | VerifyResult::PrimaryNotHeard => {}
        }
        Ok(report)
    }
}
