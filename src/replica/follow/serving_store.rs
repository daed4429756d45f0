//! The generation that serves: opened at the start, written by the lines of the feed alone, replaced by a candidate, given up when
//! it is damaged. Whatever becomes of it is published here, and here only.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::change::Head;
use crate::model::clock;
use crate::model::coverage::Coverage;
use crate::model::freshness::ProofTime;
use crate::model::revocation_listener::RevocationListener;
use crate::replica::blocking::run_blocking;
use crate::replica::feed::source::{LineDate, ReceivedLine};
use crate::replica::follow::age_keeper::AgeKeeper;
use crate::replica::follow::drift_marker::DriftMarker;
use crate::replica::follow::flusher::{FlushRequest, hold_unstored};
use crate::replica::follow::installation::{PendingInstallation, wait_installed};
use crate::replica::follow::store_scan::StoreScan;
use crate::replica::follow::store_task::StoreTaskError;
use crate::replica::follow::unstored_changes::{StorePosition, UnstoredChanges};
use crate::replica::generation::coverage_file;
use crate::replica::generation::restrictions::restrictions;
use crate::replica::generation::revoked_subjects::{named_subjects, revoked_subjects};
use crate::replica::generation::tracked::{ApplyLineError, CursorState, LineEffect, TrackedGeneration};
use crate::replica::state::alarm::Alarm;
use crate::replica::state::replica_state::ReplicaState;
use crate::replica::state::serving::Serving;
use crate::replica::state::status::FeedRelation;
use crate::store::generations::generation::Generation;
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};
use crate::wire::directory::feed_lines::FeedLine;

/// The serving generation and what belongs to it on disk.
pub struct ServingStore {
    pub(super) state: Arc<ReplicaState>,
    pub(super) generations: Arc<GenerationsFolder>,
    pub(super) drift_marker: DriftMarker,
    pub(super) age_keeper: AgeKeeper,
    pub(super) unstored: Arc<UnstoredChanges>,
    pub(super) beside: Beside,
    pub(super) flush_requests: watch::Sender<Option<FlushRequest>>,
    /// The head of the last request, and whether it was proven.
    pub(super) last_flush_request: Option<(Head, bool)>,
    pub(super) tracked: Option<TrackedGeneration>,
    pub(super) scan: StoreScan,
    /// While the next start would still open the generation before.
    pub(super) pending: Option<PendingInstallation>,
}

/// What belongs to whoever answers from the store.
pub struct Beside {
    /// What a feed covers that does not say it.
    pub unsaid_coverage: Coverage,
    /// Who keeps answers beside the directory; `None` where nobody does.
    pub revocations: Option<Arc<dyn RevocationListener>>,
}

/// A commit that is about to be applied.
#[derive(Clone, Copy)]
struct RecordedCommit {
    /// The head that it leads to.
    head: Head,
    /// Whether it may take access away.
    restricts: bool,
}

/// What happens to the store beside the lines of the feed.
pub enum StoreEvent {
    /// The opened generation was read through; whether it is intact.
    Scanned(Result<bool, StoreTaskError>),
    /// The serving generation is the one that the next start opens, or an attempt at that failed.
    Installed(Result<StorePosition, StoreTaskError>),
}

impl ServingStore {
    /// Serves nothing yet. What is to be flushed is sent to `flush_requests`.
    pub fn new(
        state: Arc<ReplicaState>,
        generations: Arc<GenerationsFolder>,
        store_path: &Path,
        unstored: Arc<UnstoredChanges>,
        flush_requests: watch::Sender<Option<FlushRequest>>,
        beside: Beside,
    ) -> Self {
        Self {
            state,
            generations,
            drift_marker: DriftMarker::in_store(store_path),
            age_keeper: AgeKeeper::in_store(store_path),
            unstored,
            beside,
            flush_requests,
            last_flush_request: None,
            tracked: None,
            scan: StoreScan::Idle,
            pending: None,
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
            let coverage = generations.current_path()?.map_or_else(Coverage::default, |folder| coverage_file::read(&folder));
            Ok::<_, StoreTaskError>((opened, coverage))
        });
        match opened.await {
            Ok((OpenedGeneration::Ready(generation), coverage)) => self.serve_opened(generation, coverage).await,
            Ok((OpenedGeneration::Empty, _)) => self.state.resync_requests.request("there is no store yet"),
            Ok((OpenedGeneration::Quarantined(damage), _)) => self.request_rebuild(&damage.to_string()),
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
    async fn serve_opened(&mut self, generation: Generation, coverage: Coverage) {
        let Some(head) = generation.head() else { return self.quarantine(generation, "it has no cursor").await };
        let restored = self.age_keeper.restore(head);
        let now = clock::boot_time();
        let cursor = self.drift_marker.read().map_or(CursorState::Synced(head), CursorState::Drifted);
        let drifted = matches!(cursor, CursorState::Drifted(_));
        let held = self.unstored.held();
        let served_coverage = coverage.clone().or(&self.beside.unsaid_coverage);
        self.state.publish(|serving| {
            serving.set_generation(&generation, served_coverage.clone(), head, false);
            serving.reading.proven_at = restored.age.map(|age| ProofTime::before(now, age));
            serving.reading.exchange_proven_at = restored.exchange_age.map(|age| ProofTime::before(now, age));
            serving.reading.caught_up = restored.caught_up && !drifted;
            // In the same swap: nobody may ask without it.
            serving.set_held(held.clone());
        });
        self.state.publish_held(held);
        self.report_shared_repositories(&generation);
        self.state.details().relation = relation(cursor);
        self.scan = StoreScan::start(&generation);
        self.tracked = Some(TrackedGeneration::new(generation, coverage, cursor));
        if drifted {
            self.state.resync_requests.request("the store had drifted from the primary before the last stop");
        }
    }

    pub(super) fn report_shared_repositories(&self, generation: &Generation) {
        match generation.shared_repositories().alarm() {
            Some(message) => self.state.alarms.raise(Alarm::SharedRepositories, message, clock::wall_time()),
            None => self.state.alarms.clear(Alarm::SharedRepositories),
        }
    }

    /// Waits for the scan of the opened generation, and for the installation of a new one; for ever if there is neither.
    pub async fn next_event(&mut self) -> StoreEvent {
        tokio::select! {
            is_intact = self.scan.wait_finished() => StoreEvent::Scanned(is_intact),
            outcome = wait_installed(&mut self.pending) => StoreEvent::Installed(outcome),
        }
    }

    /// Takes in what was waited for.
    pub async fn on_event(&mut self, event: StoreEvent) {
        match event {
            StoreEvent::Scanned(is_intact) => self.on_scan_finished(is_intact).await,
            StoreEvent::Installed(outcome) => self.on_installed(outcome).await,
        }
    }

    /// Trusts the opened generation from now on, or gives it up.
    async fn on_scan_finished(&mut self, is_intact: Result<bool, StoreTaskError>) {
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

    /// Requests a new generation if the feed covers other kinds of records than the snapshot of the one that is served.
    pub fn compare_coverage(&self, covers: Option<&Coverage>) {
        let Some(tracked) = &self.tracked else { return };
        if covers.is_some_and(|covers| covers != tracked.coverage()) {
            self.state.resync_requests.request("the feed covers other kinds of records than before");
        }
    }

    /// Begins with a new connection: nothing is proven before its first heartbeat, and what is on disk is acknowledged again.
    pub fn reset_connection(&mut self) {
        if let Some(tracked) = &mut self.tracked {
            tracked.reset_connection();
        }
        self.last_flush_request = None;
    }

    /// Applies one line of the feed, publishes what it did, and requests a flush. What restricts and the store does not take binds all the
    /// same.
    pub async fn apply_line(&mut self, received: ReceivedLine) -> Result<LineEffect, ApplyLineError> {
        let Some(tracked) = &self.tracked else { return Ok(LineEffect::Unchanged) };
        let position = tracked.feed_position();
        self.state.record_line(&received.line, position);
        if TrackedGeneration::needs_several_batches(&received.line) {
            self.state.publish(|serving| serving.set_verified(false));
        }
        let is_ahead = matches!((&received.line, position), (FeedLine::Heartbeat { seq, .. }, Some(head)) if *seq > head.seq);
        let commit = self.record_restrictions(&received.line).await;
        let Some(tracked) = &mut self.tracked else { return Ok(LineEffect::Unchanged) };
        let effect = match (tracked.apply_line(received.line).await, commit) {
            (Err(error @ (ApplyLineError::Store(_) | ApplyLineError::Thread(_))), Some(commit)) => {
                tracked.mark_store_failed(commit.head);
                self.on_store_failed(&error);
                Ok(LineEffect::NotStored)
            }
            (effect, _) => effect,
        };
        match (&effect, commit) {
            (Ok(LineEffect::NotStored), Some(_)) => hold_unstored(&self.state, &self.unstored).await,
            (Ok(_), Some(commit)) => self.unstored.mark_applied(commit.head.seq),
            _ => {}
        }
        if commit.is_some_and(|commit| commit.restricts) {
            // Before the flush that is acknowledged: whoever waits for an answer of the primary sees it.
            let at = self.feed_position().filter(|_| effect.is_ok()).map(Head::position);
            self.state.publish(|serving| serving.reading.revision.count_reduction(at));
        }
        match effect {
            Ok(LineEffect::Proven) => self.on_proven(received.date),
            Ok(LineEffect::Drifted) => self.on_drifted(),
            Ok(LineEffect::Applied) => self.on_applied(),
            Ok(LineEffect::Unchanged) if is_ahead => self.publish(|serving| serving.reading.caught_up = false),
            Ok(LineEffect::Unchanged | LineEffect::NotStored) | Err(_) => self.publish(|_| {}),
        }
        effect
    }

    /// Remembers what restricts in a commit that is about to be applied, until it is on disk.
    async fn record_restrictions(&self, line: &FeedLine) -> Option<RecordedCommit> {
        let (FeedLine::Commit(commit), Some(tracked)) = (line, &self.tracked) else { return None };
        let head = tracked.next_head(commit)?;
        let (generation, changes) = (tracked.generation().clone(), commit.changes.clone());
        let has_listener = self.beside.revocations.is_some();
        let found = tokio::task::spawn_blocking(move || {
            let found = restrictions(&generation, &changes);
            let subjects = if has_listener { revoked_subjects(&generation, &found) } else { Vec::new() };
            (found, subjects)
        });
        let (found, subjects) = found.await.unwrap_or_else(|_panicked| (commit.changes.clone(), named_subjects(&commit.changes)));
        let restricts = !found.is_empty();
        self.unstored.record(head, found);
        if let Some(listener) = self.beside.revocations.as_ref().filter(|_| !subjects.is_empty()) {
            listener.revoke(subjects).await;
        }
        Some(RecordedCommit { head, restricts })
    }

    /// Requests a new store. The feed is followed on meanwhile, for what restricts.
    fn on_store_failed(&self, error: &ApplyLineError) {
        let message = format!("{error}; the store takes no more changes, answers go on from what is here, and a new one is built");
        self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
        self.state.record_error(message);
        self.publish(|serving| serving.reading.caught_up = false);
        self.state.resync_requests.request("the store cannot be written");
    }

    fn on_proven(&mut self, date: LineDate) {
        self.publish(|serving| serving.record_proof(date));
        self.state.details().digest_equal = Some(true);
        if self.pending.is_none() {
            self.clear_drift_marker();
        }
        self.request_flush(true);
    }

    fn on_applied(&mut self) {
        self.publish(|serving| serving.reading.caught_up = false);
        self.request_flush(false);
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
        self.request_flush(false);
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

    /// Goes on from the head of a snapshot, where the cursor is lost and no head was named: from there on what restricts binds at once.
    pub fn on_snapshot_loaded(&mut self, head: Head) {
        let Some(tracked) = &mut self.tracked else { return };
        if tracked.cursor_state() == CursorState::CursorLost(None) {
            tracked.mark_cursor_lost(Some(head));
        }
    }

    /// Requests that what is applied is flushed and, if it equals the primary, acknowledged. Not before the next start would open it.
    pub(super) fn request_flush(&mut self, is_proven: bool) {
        let Some(tracked) = self.tracked.as_ref().filter(|_| self.pending.is_none()) else { return };
        let head = tracked.synced_head();
        let is_repeated = head.is_some() && head.map(|head| (head, is_proven)) == self.last_flush_request;
        if is_repeated {
            return;
        }
        self.last_flush_request = head.map(|head| (head, is_proven));
        let (generation, applied) = (tracked.generation().clone(), self.unstored.position());
        self.flush_requests.send_replace(Some(FlushRequest { generation, head, applied, is_proven }));
    }

    /// Publishes what is known of the generation now, with `change` in the same swap.
    pub(super) fn publish(&self, change: impl Fn(&mut Serving)) {
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

    pub(super) fn clear_drift_marker(&self) {
        if let Err(error) = self.drift_marker.clear() {
            tracing::warn!("failed to remove the drift marker: {error}");
        }
    }

    // For the next start

    /// Leaves all on disk, and how old it is.
    pub async fn close(&mut self) {
        if self.pending.as_ref().is_some_and(|pending| pending.result_sender.is_some()) {
            let outcome = wait_installed(&mut self.pending).await;
            self.on_installed(outcome).await;
        }
        self.save_age().await;
    }

    /// Flushes the generation and saves its age; not that of one which the next start would not open, or which lacks changes.
    pub async fn save_age(&self) {
        let Some(tracked) = self.tracked.as_ref().filter(|_| self.pending.is_none() && !self.unstored.is_held()) else { return };
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
        CursorState::StoreFailed(_) => FeedRelation::StoreFailed,
    }
}
