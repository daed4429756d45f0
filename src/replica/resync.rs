//! Brings a whole new generation whenever one is wanted: fetch, load, catch up, guard against loss, hand over.
//!
//! It works beside the following of the old generation and never touches it. Whatever fails is tried again after a pause that
//! grows; an operator who asks shortens it. It alone sweeps, so that nothing is swept that is being loaded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::change::Head;
use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::model::time::BootTime;
use crate::net::client::backoff::Backoff;
use crate::replica::alarm::Alarm;
use crate::replica::config::Timing;
use crate::replica::feed::{ChangeLines, FeedError, FeedSource};
use crate::replica::feed_connection::{ConnectionEvent, FeedConnection};
use crate::replica::low_priority::{ThreadFailed, spawn_low_priority};
use crate::replica::snapshot::{KeySet, LoadError, LoadedSnapshot, load_snapshot};
use crate::replica::state::ReplicaState;
use crate::replica::status::FeedRelation;
use crate::replica::tracked_generation::{ApplyLineError, CursorState, LineEffect, TrackedGeneration};
use crate::store::error::StoreError;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::GenerationsFolder;

/// The first pause after a resync that failed.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// So many broken connections in a row while catching up, and the snapshot is given up.
const MAX_BROKEN_CONNECTIONS: u32 = 5;

/// A generation that has caught up with the primary, and the lines it is to go on with.
pub struct Candidate {
    /// It, true at its head.
    pub tracked: TrackedGeneration,
    /// What follows.
    pub lines: ChangeLines,
    /// When it was proven equal to the primary.
    pub proven_at: BootTime,
    /// Where it lives.
    pub folder: PathBuf,
    /// Gives the generation that served before, once it does not any more; or why it still does.
    pub result_sender: oneshot::Sender<Result<Option<Generation>, AdoptError>>,
}

/// Why a candidate did not take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// It lacks commits that bind here.
    #[error(
        "the primary is at {primary}, behind {ours} which this host has followed to; it was restored from a backup: keep it so and run `sidegate admin new-epoch` at the primary"
    )]
    Behind {
        /// The primary's number.
        primary: u64,
        /// Ours.
        ours: u64,
    },
    /// Another life of the primary began while it was loaded.
    #[error("the primary began a new epoch while its snapshot was loaded")]
    EpochChanged,
    /// Its feed or store failed in the last moment.
    #[error("{0}")]
    Failed(String),
}

/// Why there is no new generation.
#[derive(Debug, thiserror::Error)]
enum ResyncError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Folder(#[from] FileError),
    #[error(
        "the snapshot lacks {lost} of the {had} keys that this host has; it is held back: if that is meant, run `sidegate admin accept-loss` at the primary"
    )]
    LossHeld { had: u64, lost: u64 },
    #[error("the new generation could not catch up: {0}")]
    CatchUp(String),
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    #[error("the snapshot could not be loaded: {0}")]
    Thread(#[from] ThreadFailed),
    #[error("the replica is stopping")]
    Stopping,
}

impl From<StoreError> for ResyncError {
    fn from(damage: StoreError) -> Self {
        Self::Load(damage.into())
    }
}

impl From<FeedError> for ResyncError {
    fn from(no_feed: FeedError) -> Self {
        Self::Load(no_feed.into())
    }
}

/// Brings generations.
pub struct Resyncer<F> {
    /// Where from.
    pub feed: Arc<F>,
    /// What the loops know.
    pub state: Arc<ReplicaState>,
    /// Where to.
    pub generations: Arc<GenerationsFolder>,
    /// How much memory.
    pub store_options: StoreOptions,
    /// When a snapshot is held back.
    pub loss_guard: LossGuard,
    /// How fast.
    pub timing: Timing,
    /// Who takes over.
    pub candidates: mpsc::Sender<Candidate>,
}

impl<F: FeedSource> Resyncer<F> {
    /// Waits for the wish and fulfils it, for ever.
    pub async fn run(self) {
        loop {
            let reason = self.state.resync_requests.next_request().await;
            tracing::info!("a snapshot is fetched: {reason}");
            self.state.details().resyncing = Some(reason);
            self.retry_until_installed().await;
            self.state.details().resyncing = None;
        }
    }

    async fn retry_until_installed(&self) {
        let mut pauses = Backoff::new(INITIAL_BACKOFF.min(self.timing.max_resync_backoff), self.timing.max_resync_backoff);
        loop {
            let failure = match self.try_resync().await {
                Ok(before) => return self.sweep_after_delay(before).await,
                Err(ResyncError::Stopping) => return,
                Err(failure) => failure,
            };
            self.report_failure(&failure);
            if self.should_stop_retrying(&failure) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pauses.next_delay(fastrand::f64())) => {}
                () = self.state.resync_requests.operator_request() => pauses.reset(),
            }
        }
    }

    /// Makes one try; what it leaves behind when it fails may fill the disk, and goes.
    async fn try_resync(&self) -> Result<Option<Generation>, ResyncError> {
        self.state.details().counters.snapshots_tried += 1;
        let folder = self.next_folder().await?;
        let brought = self.resync_into(folder.clone()).await;
        if brought.is_err() {
            drop(tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await);
        }
        brought
    }

    /// The recipe. Gives the generation that served before.
    async fn resync_into(&self, folder: PathBuf) -> Result<Option<Generation>, ResyncError> {
        let loaded = self.load_snapshot(folder.clone()).await?;
        let LoadedSnapshot { generation, head, accept_loss, keys } = loaded;
        let mut tracked = TrackedGeneration::new(generation, CursorState::Synced(head));
        let (lines, proven) = self.catch_up(&mut tracked).await?;
        self.check_loss_guard(keys, accept_loss, tracked.generation().clone()).await?;
        self.offer_candidate(tracked, lines, proven, folder).await
    }

    async fn next_folder(&self) -> Result<PathBuf, ResyncError> {
        let generations = Arc::clone(&self.generations);
        run_blocking(move || Ok(generations.create_next()?)).await
    }

    async fn load_snapshot(&self, folder: PathBuf) -> Result<LoadedSnapshot, ResyncError> {
        let lines = self.feed.snapshot().await?;
        let options = self.store_options;
        spawn_low_priority("load", move || load_snapshot(&folder, &options, lines)).await?.map_err(ResyncError::from)
    }

    /// Judged after catching up: the primary may send a snapshot that is minutes old, and what was added since is no loss.
    async fn check_loss_guard(&self, keys: KeySet, accept_loss: bool, caught_up: Generation) -> Result<(), ResyncError> {
        let Some(serving) = self.state.serving().generation.clone() else { return Ok(()) };
        let had = serving.counts_by_kind().get("key").copied().unwrap_or(0);
        if accept_loss || had <= self.loss_guard.more_than {
            return Ok(());
        }
        let missing = run_blocking(move || Ok(keys.count_missing(&serving, &caught_up)?)).await?;
        if self.loss_guard.requires_confirmation(missing) {
            return Err(ResyncError::LossHeld { had: missing.total, lost: missing.lost });
        }
        Ok(())
    }

    /// Reads `changes` from where the snapshot ends until the generation equals the primary. A connection that is lost is
    /// made again: the snapshot is worth it.
    async fn catch_up(&self, tracked: &mut TrackedGeneration) -> Result<(ChangeLines, BootTime), ResyncError> {
        let mut link = FeedConnection::new(Backoff::new(self.timing.initial_backoff, self.timing.max_backoff));
        let mut broken = 0;
        loop {
            let received = match link.next_event(&self.feed, tracked.feed_position()).await {
                ConnectionEvent::Connected => {
                    tracked.reset_connection();
                    continue;
                }
                ConnectionEvent::Line(received) => received,
                ConnectionEvent::Lost(no_feed @ FeedError::CursorGone(_)) => return Err(ResyncError::CatchUp(no_feed.to_string())),
                ConnectionEvent::Lost(FeedError::StateMismatch { seq }) => return Err(self.state_mismatch(tracked, seq)),
                ConnectionEvent::Lost(no_feed) => {
                    self.state.record_error(format!("the new generation waits for the feed: {no_feed}"));
                    continue;
                }
            };
            match tracked.apply_line(received.line).await {
                Ok(LineEffect::Proven) => {
                    let lines = link.into_lines().ok_or_else(|| ResyncError::CatchUp("the stream ended".to_owned()))?;
                    return Ok((lines, received.received_at));
                }
                Ok(LineEffect::Drifted) => return Err(ResyncError::CatchUp("it does not equal what the primary says".to_owned())),
                Ok(LineEffect::Applied | LineEffect::Unchanged) => link.reset_backoff(),
                Err(ApplyLineError::Store(damage)) => return Err(damage.into()),
                Err(ApplyLineError::WriterStopped) => return Err(ResyncError::Stopping),
                Err(gap) => {
                    broken += 1;
                    if broken >= MAX_BROKEN_CONNECTIONS {
                        return Err(ResyncError::CatchUp(gap.to_string()));
                    }
                    link.disconnect();
                }
            }
        }
    }

    fn state_mismatch(&self, tracked: &TrackedGeneration, seq: Option<u64>) -> ResyncError {
        let ours = tracked.feed_position().map_or(0, |head: Head| head.seq);
        ResyncError::CatchUp(format!("the primary does not know its own snapshot's state (it is at {seq:?}, the snapshot at {ours})"))
    }

    async fn offer_candidate(
        &self,
        tracked: TrackedGeneration,
        lines: ChangeLines,
        proven: BootTime,
        folder: PathBuf,
    ) -> Result<Option<Generation>, ResyncError> {
        let (outcome, decided) = oneshot::channel();
        let candidate = Candidate { tracked, lines, proven_at: proven, folder, result_sender: outcome };
        self.candidates.send(candidate).await.map_err(|_| ResyncError::Stopping)?;
        Ok(decided.await.map_err(|_| ResyncError::Stopping)??)
    }

    /// Whether nothing is gained by trying again: an operator asked, the primary is behind, and what serves is sound.
    fn should_stop_retrying(&self, failure: &ResyncError) -> bool {
        let behind = matches!(failure, ResyncError::Adopt(AdoptError::Behind { .. }));
        behind && self.state.details().relation == FeedRelation::True
    }

    fn report_failure(&self, failure: &ResyncError) {
        let message = format!("{failure}; answers go on from what is here, and their age grows");
        let alarm = match failure {
            ResyncError::LossHeld { .. } => Some(Alarm::LossHeld),
            ResyncError::Adopt(AdoptError::Behind { .. }) => Some(Alarm::PrimaryWentBack),
            ResyncError::Folder(_) | ResyncError::Load(LoadError::Store(_)) => Some(Alarm::Store),
            ResyncError::Load(LoadError::Feed(FeedError::Forbidden(_))) => Some(Alarm::Forbidden),
            ResyncError::Load(LoadError::Malformed(_) | LoadError::DigestMismatch | LoadError::Feed(FeedError::Malformed(_))) => {
                Some(Alarm::Garbled)
            }
            _ => None,
        };
        match alarm {
            Some(alarm) => self.state.alarms.raise(alarm, &*message, clock::wall_time()),
            None => tracing::warn!("{message}"),
        }
        self.state.record_error(message);
    }

    /// The old generation is kept a while for the requests that still read it.
    async fn sweep_after_delay(&self, before: Option<Generation>) {
        tokio::time::sleep(self.timing.replaced_generation_ttl).await;
        drop(tokio::task::spawn_blocking(move || drop(before)).await);
        self.sweep().await;
    }

    async fn sweep(&self) {
        let generations = Arc::clone(&self.generations);
        if let Err(failure) = run_blocking(move || Ok(generations.remove_unused()?)).await {
            tracing::warn!("old generations could not be removed: {failure}");
        }
    }
}

async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, ResyncError> + Send + 'static) -> Result<T, ResyncError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ResyncError::Stopping)?
}
