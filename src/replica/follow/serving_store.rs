//! The generation that serves: opened at the start, written by the lines of the feed alone, replaced by a candidate, given up when
//! it is damaged. Whatever becomes of it is published here, and here only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::ProofTime;
use crate::replica::blocking::run_blocking;
use crate::replica::feed::source::{FeedSource, LineDate, ReceivedLine};
use crate::replica::follow::age_keeper::AgeKeeper;
use crate::replica::follow::drift_marker::DriftMarker;
use crate::replica::follow::flusher::FlushRequest;
use crate::replica::follow::store_scan::{StoreScan, verify_generation};
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::generation::candidate::{AdoptError, Candidate};
use crate::replica::generation::tracked::{ApplyLineError, CursorState, LineEffect, TrackedGeneration};
use crate::replica::state::alarm::Alarm;
use crate::replica::state::replica_state::ReplicaState;
use crate::replica::state::serving::Serving;
use crate::replica::state::status::{FeedRelation, VerifyError, VerifyReport, VerifyResult};
use crate::store::generations::generation::Generation;
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};
use crate::wire::directory::feed_lines::FeedLine;

/// The serving generation and what belongs to it on disk.
pub struct ServingStore {
    state: Arc<ReplicaState>,
    generations: Arc<GenerationsFolder>,
    drift_marker: DriftMarker,
    age_keeper: AgeKeeper,
    flush_requests: watch::Sender<Option<FlushRequest>>,
    last_flush_request: Option<Head>,
    tracked: Option<TrackedGeneration>,
    scan: StoreScan,
}

impl ServingStore {
    /// Serves nothing yet. What is to be flushed is sent to `flush_requests`.
    pub fn new(
        state: Arc<ReplicaState>,
        generations: Arc<GenerationsFolder>,
        store_path: &Path,
        flush_requests: watch::Sender<Option<FlushRequest>>,
    ) -> Self {
        Self {
            state,
            generations,
            drift_marker: DriftMarker::in_store(store_path),
            age_keeper: AgeKeeper::in_store(store_path),
            flush_requests,
            last_flush_request: None,
            tracked: None,
            scan: StoreScan::Idle,
        }
    }

    // Opening

    /// Opens the generation that served last and serves it, or requests a new one.
    pub async fn open(&mut self, limit: Duration) {
        let generations = Arc::clone(&self.generations);
        let opened = run_blocking(move || {
            let opened = generations.open_current(limit)?;
            if let Err(error) = generations.remove_unused() {
                tracing::warn!("failed to remove old generations: {error}");
            }
            Ok::<_, StoreTaskError>(opened)
        });
        match opened.await {
            Ok(OpenedGeneration::Ready(generation)) => self.serve_opened(generation).await,
            Ok(OpenedGeneration::Empty) => self.state.resync_requests.request("there is no store yet"),
            Ok(OpenedGeneration::Quarantined(damage)) => self.request_rebuild(&damage.to_string()),
            Err(error) => {
                let message = format!("{error}; the primary is asked instead");
                self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                self.state.record_error(message);
                self.state.resync_requests.request("the store could not be opened");
            }
        }
        self.state.set_opened();
    }

    /// Serves hits at once. A scan beside the following decides whether a denial may be answered, or whether all of it is given up.
    async fn serve_opened(&mut self, generation: Generation) {
        let Some(head) = generation.head() else { return self.quarantine(generation, "it has no cursor").await };
        let restored = self.age_keeper.restore(head);
        let now = clock::boot_time();
        let cursor = self.drift_marker.read().map_or(CursorState::Synced(head), CursorState::Drifted);
        let drifted = matches!(cursor, CursorState::Drifted(_));
        self.state.publish(|serving| {
            serving.set_generation(&generation, head, false);
            serving.reading.proven_at = restored.age.map(|age| ProofTime::before(now, age));
            serving.reading.exchange_proven_at = restored.exchange_age.map(|age| ProofTime::before(now, age));
            serving.reading.caught_up = restored.caught_up && !drifted;
        });
        self.report_shared_repositories(&generation);
        self.state.details().relation = relation(cursor);
        self.scan = StoreScan::start(&generation);
        self.tracked = Some(TrackedGeneration::new(generation, cursor));
        if drifted {
            self.state.resync_requests.request("the store had drifted from the primary before the last stop");
        }
    }

    fn report_shared_repositories(&self, generation: &Generation) {
        match generation.shared_repositories().alarm() {
            Some(message) => self.state.alarms.raise(Alarm::SharedRepositories, message, clock::wall_time()),
            None => self.state.alarms.clear(Alarm::SharedRepositories),
        }
    }

    /// Waits for the scan of the opened generation; for ever if none runs.
    pub async fn wait_scanned(&mut self) -> Result<bool, StoreTaskError> {
        self.scan.wait_finished().await
    }

    /// Trusts the opened generation from now on, or gives it up.
    pub async fn on_scan_finished(&mut self, is_intact: Result<bool, StoreTaskError>) {
        self.scan = StoreScan::Idle;
        let Some(tracked) = &self.tracked else { return };
        let generation = tracked.generation().clone();
        match is_intact {
            Ok(true) => {
                self.scan = StoreScan::Intact;
                self.publish(|_| {});
                tracing::info!("store scan finished: all records are as they were stored");
                if let Some(alarm) = generation.invalid_records().and_then(|invalid| invalid.alarm()) {
                    tracing::warn!("{alarm}");
                }
            }
            Ok(false) => self.quarantine(generation, "a scan has found other records than were stored").await,
            Err(error) => self.quarantine(generation, &error.to_string()).await,
        }
    }

    // Following

    /// Returns whether a generation is served.
    #[must_use]
    pub const fn is_serving(&self) -> bool {
        self.tracked.is_some()
    }

    /// Returns where the feed is to be read from; `None` if nowhere.
    #[must_use]
    pub fn feed_position(&self) -> Option<Head> {
        self.tracked.as_ref().and_then(TrackedGeneration::feed_position)
    }

    /// Begins with a new connection: nothing is proven before its first heartbeat, and what is on disk is acknowledged again.
    pub fn reset_connection(&mut self) {
        if let Some(tracked) = &mut self.tracked {
            tracked.reset_connection();
        }
        self.last_flush_request = None;
    }

    /// Applies one line of the feed, publishes what it did, and requests a flush.
    pub async fn apply_line(&mut self, received: ReceivedLine) -> Result<LineEffect, ApplyLineError> {
        let Some(tracked) = &mut self.tracked else { return Ok(LineEffect::Unchanged) };
        let position = tracked.feed_position();
        self.state.record_line(&received.line, position);
        if TrackedGeneration::needs_several_batches(&received.line) {
            self.state.publish(|serving| serving.set_verified(false));
        }
        let is_ahead = matches!((&received.line, position), (FeedLine::Heartbeat { seq, .. }, Some(head)) if *seq > head.seq);
        let effect = tracked.apply_line(received.line).await;
        if tracked.take_reduction() {
            // Before the flush that is acknowledged: whoever waits for an answer of the primary sees it.
            self.state.publish(|serving| serving.reading.revision.reductions += 1);
        }
        match effect {
            Ok(LineEffect::Proven) => self.on_proven(received.date),
            Ok(LineEffect::Drifted) => self.on_drifted(),
            Ok(LineEffect::Applied) => self.on_applied(),
            Ok(LineEffect::Unchanged) if is_ahead => self.publish(|serving| serving.reading.caught_up = false),
            Ok(LineEffect::Unchanged) | Err(_) => self.publish(|_| {}),
        }
        effect
    }

    fn on_proven(&mut self, date: LineDate) {
        self.publish(|serving| serving.record_proof(date));
        self.after_proof();
    }

    fn after_proof(&mut self) {
        self.state.details().digest_equal = Some(true);
        self.clear_drift_marker();
        self.request_flush();
    }

    fn on_applied(&mut self) {
        self.publish(|serving| serving.reading.caught_up = false);
        self.request_flush();
    }

    fn on_drifted(&mut self) {
        self.publish(|serving| serving.reading.caught_up = false);
        let Some(claimed) = self.feed_position() else { return };
        if let Err(error) = self.drift_marker.write(claimed) {
            tracing::warn!("failed to write the drift marker: {error}");
        }
        {
            let mut details = self.state.details();
            details.digest_equal = Some(false);
            details.counters.drifts += 1;
        }
        let message = format!(
            "at commit {} this host's records do not add up to what the primary says; a snapshot is fetched, answers go on and their age grows",
            claimed.seq
        );
        self.state.alarms.raise(Alarm::Drift, &*message, clock::wall_time());
        self.state.record_error(message);
        self.state.resync_requests.request("the records drifted from the primary's");
        self.request_flush();
    }

    /// Goes on from the primary's head, if it named one, and requests a new generation. Returns whether the cursor was not lost before.
    pub fn on_cursor_lost(&mut self, head: Option<Head>) -> bool {
        let Some(tracked) = &mut self.tracked else { return false };
        let is_first = !matches!(tracked.cursor_state(), CursorState::CursorLost(_));
        tracked.mark_cursor_lost(head);
        self.publish(|serving| serving.reading.caught_up = false);
        self.state.resync_requests.request("the primary no longer has what follows the cursor");
        is_first
    }

    /// Requests that what is applied is flushed and, if it equals the primary, acknowledged.
    fn request_flush(&mut self) {
        let Some(tracked) = &self.tracked else { return };
        let head = tracked.synced_head();
        if head.is_some() && head == self.last_flush_request {
            return;
        }
        self.last_flush_request = head;
        self.flush_requests.send_replace(Some(FlushRequest { generation: tracked.generation().clone(), head }));
    }

    /// Publishes what is known of the generation now, with `change` in the same swap.
    fn publish(&self, change: impl Fn(&mut Serving)) {
        let Some(tracked) = &self.tracked else { return };
        let head = tracked.synced_head();
        let verified = matches!(self.scan, StoreScan::Intact) && head.is_some_and(|head| head.state == tracked.generation().state());
        self.state.publish(|serving| {
            serving.set_verified(verified);
            if let Some(head) = head {
                serving.set_head(head);
            }
            change(serving);
        });
        self.state.details().relation = relation(tracked.cursor_state());
    }

    fn clear_drift_marker(&self) {
        if let Err(error) = self.drift_marker.clear() {
            tracing::warn!("failed to remove the drift marker: {error}");
        }
    }

    // Replacing

    /// Makes a candidate ready to serve: lets it catch up with what serves now, and makes its folder the one that is opened at the
    /// next start. Returns its head.
    pub async fn prepare<F: FeedSource>(&self, candidate: &mut Candidate, feed: &F, silence_timeout: Duration) -> Result<Head, AdoptError> {
        let head = candidate.catch_up_with(self.tracked.as_ref(), feed, silence_timeout).await?;
        let (generations, folder) = (Arc::clone(&self.generations), candidate.folder.clone());
        let installed = run_blocking(move || Ok::<_, StoreTaskError>(generations.install(&folder)?)).await;
        installed.map(|()| head).map_err(|error| AdoptError::Failed(error.to_string()))
    }

    /// Serves another generation from now on, which is at `head` and was proven equal to the primary. Returns the one that served
    /// before.
    pub fn switch(&mut self, tracked: TrackedGeneration, head: Head, proven_at: LineDate, folder: &Path) -> Option<Generation> {
        self.state.publish(|serving| {
            serving.set_generation(tracked.generation(), head, true);
            serving.record_proof(proven_at);
        });
        self.report_shared_repositories(tracked.generation());
        let replaced = self.tracked.replace(tracked).map(|before| before.generation().clone());
        self.scan = StoreScan::Intact;
        self.last_flush_request = None;
        {
            let mut details = self.state.details();
            details.relation = FeedRelation::True;
            details.primary = Some(head);
            details.generation = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            details.counters.resyncs += 1;
        }
        self.state.resync_requests.clear();
        self.after_proof();
        replaced
    }

    async fn quarantine(&mut self, generation: Generation, damage: &str) {
        self.tracked = None;
        self.scan = StoreScan::Idle;
        self.state.publish(Serving::clear);
        self.flush_requests.send_replace(None);
        self.state.details().relation = FeedRelation::Nothing;
        let generations = Arc::clone(&self.generations);
        let moved = run_blocking(move || {
            drop(generation);
            Ok::<_, StoreTaskError>(generations.quarantine_current()?)
        });
        if let Err(error) = moved.await {
            tracing::warn!("failed to move the damaged store to quarantine: {error}");
        }
        self.clear_drift_marker();
        self.request_rebuild(damage);
    }

    fn request_rebuild(&self, damage: &str) {
        self.state.details().counters.quarantines += 1;
        let message = format!("the store on disk was damaged ({damage}); it is in quarantine, the primary is asked, a new one is built");
        self.state.alarms.raise(Alarm::Damage, &*message, clock::wall_time());
        self.state.record_error(message);
        self.state.resync_requests.request("the store was damaged");
    }

    // For the operator, and for the next start

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

    /// Flushes the generation and saves its age.
    pub async fn save_age(&self) {
        let Some(tracked) = &self.tracked else { return };
        let serving = self.state.serving();
        match self.age_keeper.save(tracked.generation().clone(), &serving.reading).await {
            Ok(bytes) => self.state.details().store_bytes = bytes,
            Err(error) => {
                let message =
                    format!("failed to save the directory's age: {error}; after a restart it counts from the last time it was saved");
                self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                self.state.record_error(message);
            }
        }
    }
}

const fn relation(cursor: CursorState) -> FeedRelation {
    match cursor {
        CursorState::Synced(_) => FeedRelation::True,
        CursorState::Drifted(_) => FeedRelation::Drifted,
        CursorState::CursorLost(_) => FeedRelation::Lost,
    }
}
