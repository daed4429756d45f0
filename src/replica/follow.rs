//! Follows the feed for the generation that serves, and switches to a new one when it is ready. The only writer of the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::ProofTime;
use crate::model::time::{BootTime, Time};
use crate::replica::alarm::Alarm;
use crate::replica::config::Timing;
use crate::replica::drift_marker::DriftMarker;
use crate::replica::feed::{ChangeLines, FeedError, FeedSource, ReceivedLine};
use crate::replica::feed_connection::{ConnectionEvent, FeedConnection};
use crate::replica::flusher::FlushRequest;
use crate::replica::resync::{AdoptError, Candidate};
use crate::replica::serving::Serving;
use crate::replica::state::ReplicaState;
use crate::replica::status::{FeedRelation, VerifyError, VerifyReport, VerifyResult};
use crate::replica::tracked_generation::{ApplyLineError, CursorState, LineEffect, TrackedGeneration};
use crate::store::error::StoreError;
use crate::store::files::age_file::{SavedAge, read_boot_id};
use crate::store::files::folder::FileError;
use crate::store::generations::generation::Generation;
use crate::store::generations::generations_folder::{GenerationsFolder, OpenedGeneration};
use crate::wire::directory::feed_lines::FeedLine;

/// So many gaps in a row, and a snapshot is fetched.
const MAX_CONSECUTIVE_GAPS: u32 = 3;
/// So many heartbeats, heard after a new generation began to catch up with what serves, and the primary itself is behind that. One may
/// have been written before the last commit.
const MAX_HEARTBEATS_BEHIND: u32 = 2;
/// So many failures of the store in a row, and a new one is built.
const MAX_STORE_FAILURES: u32 = 2;

/// The same reason for a lost feed is logged again after this time.
const REPEAT_LOG_INTERVAL: Duration = Duration::from_secs(300);

/// What a replica is told while it runs.
pub enum ReplicaCommand {
    /// End cleanly, with all on disk.
    Stop,
    /// Read the store through and compare.
    Verify(oneshot::Sender<Result<VerifyReport, VerifyError>>),
}

enum FollowerEvent {
    Command(ReplicaCommand),
    Candidate(Box<Candidate>),
    Tick,
    Connection(ConnectionEvent),
    ScanFinished(Result<bool, String>),
}

/// Whether the serving generation has been read through.
enum StoreScan {
    /// It is being.
    Running(JoinHandle<Result<bool, String>>),
    /// It was found whole.
    Intact,
    /// There is nothing to read.
    Idle,
}

impl StoreScan {
    /// Waits for a scan that runs to end; for ever if none does.
    async fn wait_finished(&mut self) -> Result<bool, String> {
        match self {
            Self::Running(scan) => scan.await.unwrap_or_else(|ended| Err(ended.to_string())),
            Self::Intact | Self::Idle => std::future::pending().await,
        }
    }
}

/// Follows.
pub struct FeedFollower<F> {
    feed: Arc<F>,
    state: Arc<ReplicaState>,
    generations: Arc<GenerationsFolder>,
    timing: Timing,
    drift_marker: DriftMarker,
    age_path: PathBuf,
    flush_requests: watch::Sender<Option<FlushRequest>>,
    connection: FeedConnection,
    serving: Option<TrackedGeneration>,
    scan: StoreScan,
    last_flush_request: Option<Head>,
    consecutive_gaps: u32,
    store_failures: u32,
    /// What was last logged of a lost feed, and when.
    last_logged_error: Option<(String, Time)>,
}

impl<F: FeedSource> FeedFollower<F> {
    /// Will follow.
    pub fn new(
        feed: Arc<F>,
        shared: Arc<ReplicaState>,
        generations: Arc<GenerationsFolder>,
        store: &std::path::Path,
        pace: Timing,
        link: FeedConnection,
        binding: watch::Sender<Option<FlushRequest>>,
    ) -> Self {
        Self {
            feed,
            state: shared,
            generations,
            timing: pace,
            drift_marker: DriftMarker::in_store(store),
            age_path: store.join("age"),
            flush_requests: binding,
            connection: link,
            serving: None,
            scan: StoreScan::Idle,
            last_flush_request: None,
            consecutive_gaps: 0,
            store_failures: 0,
            last_logged_error: None,
        }
    }

    /// Opens the store, serves it, and follows until it is told to stop.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<ReplicaCommand>, mut candidates: mpsc::Receiver<Candidate>) {
        self.open_store().await;
        let mut ticks = interval(self.timing.age_save_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        loop {
            let position = self.serving.as_ref().and_then(TrackedGeneration::feed_position);
            let event = tokio::select! {
                biased;
                command = commands.recv() => FollowerEvent::Command(command.unwrap_or_else(|| ReplicaCommand::Stop)),
                Some(candidate) = candidates.recv() => FollowerEvent::Candidate(Box::new(candidate)),
                _ = ticks.tick() => FollowerEvent::Tick,
                whole = self.scan.wait_finished() => FollowerEvent::ScanFinished(whole),
                moved = self.connection.next_event(&self.feed, position) => FollowerEvent::Connection(moved),
            };
            match event {
                FollowerEvent::Command(ReplicaCommand::Stop) => return self.save_age().await,
                FollowerEvent::Command(ReplicaCommand::Verify(found)) => {
                    let verified = self.verify().await;
                    let _nobody_waits = found.send(verified);
                }
                FollowerEvent::Candidate(candidate) => self.adopt_candidate(*candidate).await,
                FollowerEvent::Tick => self.save_age().await,
                FollowerEvent::ScanFinished(whole) => self.on_scan_finished(whole).await,
                FollowerEvent::Connection(ConnectionEvent::Connected) => self.on_connected(),
                FollowerEvent::Connection(ConnectionEvent::Line(received)) => self.on_line(received).await,
                FollowerEvent::Connection(ConnectionEvent::Lost(no_feed)) => self.on_connection_lost(&no_feed),
            }
        }
    }

    // ---- start ----

    async fn open_store(&mut self) {
        let generations = Arc::clone(&self.generations);
        let limit = self.timing.open_timeout;
        let opened = run_blocking(move || {
            let opened = generations.open_current(limit)?;
            if let Err(refused) = generations.remove_unused() {
                tracing::warn!("old generations could not be removed: {refused}");
            }
            Ok::<_, FileError>(opened)
        });
        match opened.await {
            Ok(OpenedGeneration::Ready(generation)) => self.serve_opened(generation).await,
            Ok(OpenedGeneration::Empty) => self.state.resync_requests.request("there is no store yet"),
            Ok(OpenedGeneration::Quarantined(damage)) => self.request_rebuild(&damage.to_string()),
            Err(failure) => {
                let message = format!("{failure}; the primary is asked instead");
                self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                self.state.record_error(message);
                self.state.resync_requests.request("the store could not be opened");
            }
        }
        self.state.set_opened();
    }

    /// Hits are served at once. A scan beside the following decides whether a no may be said, or whether all of it is given up.
    async fn serve_opened(&mut self, generation: Generation) {
        let Some(head) = generation.head() else { return self.quarantine(generation, "it has no cursor").await };
        let (age, caught_up) = self.load_age(head);
        let now = clock::boot_time();
        let reader = generation.clone();
        self.scan = StoreScan::Running(tokio::spawn(run_blocking(move || reader.is_intact())));
        let track = self.drift_marker.read().map_or(CursorState::Synced(head), CursorState::Drifted);
        self.state.publish(|serving| {
            serving.set_generation(&generation, head, false);
            serving.reading.proven_at = age.map(|age| ProofTime::before(now, age));
            serving.reading.caught_up = caught_up && matches!(track, CursorState::Synced(_));
        });
        self.serving = Some(TrackedGeneration::new(generation, track));
        if matches!(track, CursorState::Drifted(_)) {
            self.state.resync_requests.request("the store had drifted from the primary before the last stop");
        }
        self.state.details().relation = relation(track);
    }

    async fn on_scan_finished(&mut self, whole: Result<bool, String>) {
        self.scan = StoreScan::Idle;
        let Some(tracked) = &self.serving else { return };
        let generation = tracked.generation().clone();
        match whole {
            Ok(true) => {
                self.scan = StoreScan::Intact;
                self.publish(|_| {});
                tracing::info!("the store was read through and is whole");
            }
            Ok(false) => self.quarantine(generation, "a scan has found other records than were stored").await,
            Err(failure) => self.quarantine(generation, &failure).await,
        }
    }

    /// Returns the age that was saved for a store at `head`, and whether it was caught up.
    fn load_age(&self, head: Head) -> (Option<Duration>, bool) {
        let kept = SavedAge::load(&self.age_path).filter(|kept| {
            let same = kept.applies_to(Some(head));
            if !same {
                tracing::warn!("the store is not the one whose age was kept, or has lost its last commits: its age is not known");
            }
            same
        });
        let age = kept.as_ref().and_then(|kept| read_boot_id().ok().map(|id| kept.age_at(&id, clock::boot_time(), clock::wall_time())));
        (age, kept.is_some_and(|kept| kept.caught_up))
    }

    // ---- following ----

    fn on_connected(&mut self) {
        if let Some(tracked) = &mut self.serving {
            tracked.reset_connection();
        }
        self.last_flush_request = None;
        let mut told = self.state.details();
        told.connected_since = Some(clock::wall_time());
        told.lost_since = None;
        told.counters.connects += 1;
        drop(told);
        self.state.alarms.clear(Alarm::Forbidden);
        tracing::info!("the feed is connected");
    }

    async fn on_line(&mut self, received: ReceivedLine) {
        let Some(tracked) = &mut self.serving else { return };
        self.state.record_line(&received.line, tracked.feed_position());
        if TrackedGeneration::needs_several_batches(&received.line) {
            self.state.publish(|serving| serving.set_verified(false));
        }
        let lags = matches!((&received.line, tracked.feed_position()), (FeedLine::Heartbeat { seq, .. }, Some(head)) if *seq > head.seq);
        let effect = tracked.apply_line(received.line).await;
        match effect {
            Ok(LineEffect::Proven) => self.publish(|serving| serving.record_proof(received.received_at)),
            Ok(LineEffect::Unchanged) if !lags => self.publish(|_| {}),
            Ok(_) => self.publish(|serving| serving.reading.caught_up = false),
            Err(_) => self.publish(|_| {}),
        }
        match effect {
            Ok(LineEffect::Proven) => self.on_proven(),
            Ok(LineEffect::Drifted) => self.on_drifted(),
            Ok(LineEffect::Applied) => self.on_applied(),
            Ok(LineEffect::Unchanged) => {}
            Err(broken) => self.on_line_error(&broken),
        }
    }

    fn on_proven(&mut self) {
        self.state.details().digest_equal = Some(true);
        self.reset_failures();
        for alarm in [Alarm::Drift, Alarm::PrimaryWentBack, Alarm::Garbled] {
            self.state.alarms.clear(alarm);
        }
        self.clear_drift_marker();
        self.request_flush();
    }

    fn on_applied(&mut self) {
        self.reset_failures();
        self.request_flush();
    }

    fn on_drifted(&mut self) {
        let Some(claimed) = self.serving.as_ref().and_then(TrackedGeneration::feed_position) else { return };
        if let Err(error) = self.drift_marker.write(claimed) {
            tracing::warn!("the drift could not be noted on disk: {error}");
        }
        {
            let mut told = self.state.details();
            told.digest_equal = Some(false);
            told.counters.drifts += 1;
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

    fn reset_failures(&mut self) {
        self.connection.reset_backoff();
        self.consecutive_gaps = 0;
        self.store_failures = 0;
    }

    /// What binds is written and, if it equals the primary, acknowledged.
    fn request_flush(&mut self) {
        let Some(tracked) = &self.serving else { return };
        let head = tracked.synced_head();
        if head.is_some() && head == self.last_flush_request {
            return;
        }
        self.last_flush_request = head;
        self.flush_requests.send_replace(Some(FlushRequest { generation: tracked.generation().clone(), head }));
    }

    fn on_line_error(&mut self, broken: &ApplyLineError) {
        match broken {
            ApplyLineError::Store(damage) => {
                self.store_failures += 1;
                let message = format!("{damage}; answers go on from what is here");
                self.state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                if self.store_failures >= MAX_STORE_FAILURES {
                    self.state.resync_requests.request("the store cannot be written");
                }
            }
            ApplyLineError::Gap { .. } | ApplyLineError::WentBack { .. } => {
                self.consecutive_gaps += 1;
                if self.consecutive_gaps >= MAX_CONSECUTIVE_GAPS {
                    self.consecutive_gaps = 0;
                    self.state.resync_requests.request("the feed leaves commits out");
                }
            }
            ApplyLineError::WriterStopped => {}
        }
        self.connection.disconnect();
        self.record_disconnect(&broken.to_string());
    }

    fn on_connection_lost(&mut self, no_feed: &FeedError) {
        self.record_disconnect(&no_feed.to_string());
        match no_feed {
            FeedError::CursorGone(head) => self.on_cursor_lost(*head),
            FeedError::StateMismatch { seq } => {
                let ours = self.serving.as_ref().and_then(TrackedGeneration::feed_position).map_or(0, |head| head.seq);
                let theirs = seq.map_or_else(|| "another commit".to_owned(), |seq| format!("commit {seq}"));
                let message = format!(
                    "the primary is at {theirs} and does not know the state that this host has at commit {ours}; it was probably restored from a backup: run `sidegate admin new-epoch` at the primary. Answers go on and their age grows"
                );
                self.state.alarms.raise(Alarm::PrimaryWentBack, message, clock::wall_time());
            }
            FeedError::Forbidden(_) => self.state.alarms.raise(Alarm::Forbidden, no_feed.to_string(), clock::wall_time()),
            FeedError::Malformed(_) => self.state.alarms.raise(Alarm::Garbled, no_feed.to_string(), clock::wall_time()),
            FeedError::Unreachable(_) | FeedError::Silent(_) | FeedError::UnexpectedStatus { .. } => {}
        }
    }

    fn on_cursor_lost(&mut self, head: Option<Head>) {
        let Some(tracked) = &mut self.serving else { return };
        let first = !matches!(tracked.cursor_state(), CursorState::CursorLost(_));
        tracked.mark_cursor_lost(head);
        if first {
            self.connection.reconnect_now();
        }
        self.publish(|serving| serving.reading.caught_up = false);
        self.state.resync_requests.request("the primary no longer has what follows the cursor");
    }

    fn record_disconnect(&mut self, why: &str) {
        self.state.record_error(why.to_owned());
        let now = clock::wall_time();
        {
            let mut told = self.state.details();
            if told.connected_since.take().is_some() {
                told.counters.disconnects += 1;
                told.lost_since = Some(now);
            }
            told.lost_since.get_or_insert(now);
        }
        let said = self.last_logged_error.as_ref().is_some_and(|(before, at)| before == why && now.since(*at) < REPEAT_LOG_INTERVAL);
        if said {
            tracing::debug!("there is no feed: {why}");
        } else {
            tracing::warn!("there is no feed: {why}");
            self.last_logged_error = Some((why.to_owned(), now));
        }
    }

    /// Publishes what is known of the serving generation now, with `change` in the same swap.
    fn publish(&self, change: impl Fn(&mut Serving)) {
        let Some(tracked) = &self.serving else { return };
        let whole =
            matches!(self.scan, StoreScan::Intact) && tracked.synced_head().is_some_and(|head| head.state == tracked.generation().state());
        self.state.publish(|serving| {
            serving.set_verified(whole);
            serving.head = tracked.synced_head().or(serving.head);
            change(serving);
        });
        self.state.details().relation = relation(tracked.cursor_state());
    }

    fn clear_drift_marker(&self) {
        if let Err(error) = self.drift_marker.clear() {
            tracing::warn!("the note of a drift could not be removed: {error}");
        }
    }

    // ---- a new generation ----

    async fn adopt_candidate(&mut self, candidate: Candidate) {
        let Candidate { mut tracked, mut lines, proven_at: proven, folder, result_sender: outcome } = candidate;
        let adopted = match self.catch_up_candidate(&mut tracked, &mut lines).await {
            Ok(head) => self.install_generation(folder.clone()).await.map(|()| head),
            Err(not_adopted) => Err(not_adopted),
        };
        let switched = adopted.map(|head| self.switch_generation(tracked, head, lines, proven, &folder));
        if switched.is_ok() {
            self.save_age().await;
        }
        let _resync_ended = outcome.send(switched);
    }

    /// Reads on for the candidate until it has every commit that binds in what serves now, which meanwhile takes no more.
    ///
    /// A primary is behind if it still says so after that: what was on its way before may be older than the last commit.
    async fn catch_up_candidate(&self, tracked: &mut TrackedGeneration, lines: &mut ChangeLines) -> Result<Head, AdoptError> {
        let serving =
            self.serving.as_ref().map(|serving| (serving.cursor_state(), serving.feed_position().or_else(|| serving.generation().head())));
        let (began, mut said_less) = (clock::boot_time(), 0);
        loop {
            let Some(head) = tracked.synced_head() else { return Err(AdoptError::Failed("the candidate drifted".to_owned())) };
            let Some((cursor, Some(bound))) = serving else { return Ok(head) };
            if head.epoch != bound.epoch {
                let overtaken = matches!(cursor, CursorState::CursorLost(Some(_)));
                return if overtaken { Err(AdoptError::EpochChanged) } else { Ok(head) };
            }
            if head.seq >= bound.seq {
                return Ok(head);
            }
            let received = match tokio::time::timeout(self.timing.silence_timeout, lines.recv()).await {
                Ok(Some(Ok(received))) => received,
                Ok(Some(Err(no_feed))) => return Err(AdoptError::Failed(no_feed.to_string())),
                Ok(None) | Err(_) => return Err(AdoptError::Failed("the feed ended".to_owned())),
            };
            if matches!(received.line, FeedLine::Heartbeat { seq, .. } if seq == head.seq) {
                said_less += u32::from(received.received_at > began);
            }
            if said_less == MAX_HEARTBEATS_BEHIND {
                return Err(AdoptError::Behind { primary: head.seq, ours: bound.seq });
            }
            let _proved = tracked.apply_line(received.line).await.map_err(|broken| AdoptError::Failed(broken.to_string()))?;
        }
    }

    async fn install_generation(&self, folder: PathBuf) -> Result<(), AdoptError> {
        let generations = Arc::clone(&self.generations);
        run_blocking(move || generations.install(&folder)).await.map_err(|failure| AdoptError::Failed(failure.to_string()))
    }

    /// The switch itself: one pointer. Gives the generation that served before.
    fn switch_generation(
        &mut self,
        tracked: TrackedGeneration,
        head: Head,
        lines: ChangeLines,
        proven: BootTime,
        folder: &std::path::Path,
    ) -> Option<Generation> {
        let before = self.serving.take().map(|before| before.generation().clone());
        self.scan = StoreScan::Intact;
        self.state.publish(|serving| {
            serving.set_generation(tracked.generation(), head, true);
            serving.record_proof(proven);
        });
        self.state.details().relation = FeedRelation::True;
        self.serving = Some(tracked);
        self.connection.adopt_lines(lines);
        {
            let mut told = self.state.details();
            told.connected_since.get_or_insert_with(clock::wall_time);
            told.lost_since = None;
            told.primary = self.serving.as_ref().and_then(TrackedGeneration::synced_head);
            told.counters.resyncs += 1;
            told.generation = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        }
        for alarm in [Alarm::LossHeld, Alarm::Damage, Alarm::Store, Alarm::Forbidden] {
            self.state.alarms.clear(alarm);
        }
        self.state.resync_requests.clear();
        self.last_flush_request = None;
        self.on_proven();
        tracing::info!(seq = head.seq, "a new generation serves");
        before
    }

    // ---- damage ----

    async fn quarantine(&mut self, generation: Generation, why: &str) {
        self.serving = None;
        self.scan = StoreScan::Idle;
        self.state.publish(|serving| *serving = Serving::default());
        self.flush_requests.send_replace(None);
        self.state.details().relation = FeedRelation::Nothing;
        self.connection.reconnect_now();
        let generations = Arc::clone(&self.generations);
        let moved = run_blocking(move || {
            drop(generation);
            generations.quarantine_current()
        });
        if let Err(failure) = moved.await {
            tracing::warn!("the damaged store could not be moved to quarantine: {failure}");
        }
        self.clear_drift_marker();
        self.request_rebuild(why);
    }

    fn request_rebuild(&self, damage: &str) {
        self.state.details().counters.quarantines += 1;
        let message = format!("the store on disk was damaged ({damage}); it is in quarantine, the primary is asked, a new one is built");
        self.state.alarms.raise(Alarm::Damage, &*message, clock::wall_time());
        self.state.record_error(message);
        self.state.resync_requests.request("the store was damaged");
    }

    // ---- for the operator, and for the next start ----

    /// Reads everything. The feed waits meanwhile, so that what is read does not move.
    async fn verify(&mut self) -> Result<VerifyReport, VerifyError> {
        let Some(tracked) = &self.serving else {
            let why = self.state.details().last_error.as_ref().map(|problem| problem.message.clone());
            return Err(VerifyError::NoStore(why.unwrap_or_else(|| "none has been fetched yet".to_owned())));
        };
        let generation = tracked.generation().clone();
        let stored = generation.state();
        let head = tracked.synced_head().or_else(|| tracked.feed_position());
        let primary = self.state.details().primary.filter(|said| head.is_some_and(|head| (head.epoch, head.seq) == (said.epoch, said.seq)));
        let reader = generation.clone();
        let read = run_blocking(move || {
            let whole = reader.is_intact()?;
            Ok::<_, StoreError>((whole, if whole { reader.state() } else { reader.recompute_state()? }))
        });
        let (whole, scanned) = match read.await {
            Ok(read) => read,
            Err(failure) => {
                self.quarantine(generation, &failure).await;
                return Err(VerifyError::NoStore(failure));
            }
        };
        let finding = match primary {
            _ if !whole => VerifyResult::Damaged,
            None => VerifyResult::PrimaryNotHeard,
            Some(said) if said.state == scanned => VerifyResult::Equal,
            Some(_) => VerifyResult::Unlike,
        };
        match finding {
            VerifyResult::Damaged => self.quarantine(generation, "a scan has found other records than were stored").await,
            VerifyResult::Unlike => self.state.resync_requests.request("a scan has found other records than the primary has"),
            VerifyResult::Equal | VerifyResult::PrimaryNotHeard => {}
        }
        Ok(VerifyReport { scanned, stored, primary, finding })
    }

    /// The age as it is now, written once what it is the age of is on disk.
    async fn save_age(&self) {
        let Some(tracked) = &self.serving else { return };
        let generation = tracked.generation().clone();
        let (boot, wall) = (clock::boot_time(), clock::wall_time());
        let reading = self.state.serving().reading.clone();
        let (age, caught_up) = (reading.age(boot), reading.caught_up);
        let file = self.age_path.clone();
        let saved = run_blocking(move || {
            generation.flush()?;
            if let (Some(age), Some(Head { epoch, seq, .. })) = (age, generation.head()) {
                SavedAge { boot_id: read_boot_id()?, boot_time: boot, wall_time: wall, age, caught_up, epoch, seq }.save(&file)?;
            }
            Ok::<_, SaveAgeError>(generation.size_on_disk())
        });
        match saved.await {
            Ok(bytes) => self.state.details().store_bytes = bytes,
            Err(failure) => {
                let message =
                    format!("the age of the directory could not be saved: {failure}; after a restart it counts from the last time it was");
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

#[derive(Debug, thiserror::Error)]
enum SaveAgeError {
    #[error(transparent)]
    Damage(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] FileError),
}

/// What blocks, on a thread that may; a panic there is a failure like any other.
async fn run_blocking<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|failure| failure.to_string()),
        Err(ended) => Err(format!("the store's thread ended: {ended}")),
    }
}

/// How long a stop may take before threads that block are left behind.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
