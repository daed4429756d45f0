//! Builds a new generation whenever one is requested: fetch and load a snapshot, catch up, guard against a loss of keys, hand over.
//!
//! It works beside the following of the old generation and never touches it. Whatever fails is tried again after a delay that
//! grows; an operator's request ends the delay. It alone removes old generations, so that none is removed while it is loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, oneshot};

use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::net::client::backoff::Backoff;
use crate::replica::blocking::{run_blocking, spawn_low_priority};
use crate::replica::config::Timing;
use crate::replica::feed::connection::{ConnectionEvent, FeedConnection};
use crate::replica::feed::source::{ChangeLines, FeedError, FeedSource, LineDate};
use crate::replica::generation::candidate::{AdoptError, Candidate};
use crate::replica::generation::key_set::KeySet;
use crate::replica::generation::load_snapshot::{LoadedSnapshot, load_snapshot};
use crate::replica::generation::tracked::{ApplyLineError, CursorState, LineEffect, TrackedGeneration};
use crate::replica::resync_error::ResyncError;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::replica_state::ReplicaState;
use crate::replica::state::status::FeedRelation;
use crate::store::generations::generation::{Generation, StoreOptions};
use crate::store::generations::generations_folder::GenerationsFolder;

/// The first delay after a resync that failed.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// After so many broken connections while catching up the snapshot is given up.
const MAX_BROKEN_CONNECTIONS: u32 = 5;

/// What a record of an older primary may take in a snapshot, on average.
const MAX_RECORD_BYTES: u64 = 8 << 10;
/// What such a snapshot may have beside its records: the commits that were made meanwhile.
const UNSIZED_SLACK_BYTES: u64 = 1 << 30;

/// The task that builds generations.
pub struct Resyncer<F> {
    /// Where snapshots and changes come from.
    pub feed: Arc<F>,
    /// The state that the tasks share.
    pub state: Arc<ReplicaState>,
    /// Where generations are put.
    pub generations: Arc<GenerationsFolder>,
    /// How much memory a generation may take.
    pub store_options: StoreOptions,
    /// Which loss of keys is held until an operator accepts it.
    pub loss_guard: LossGuard,
    /// The delays and timeouts.
    pub timing: Timing,
    /// Takes each generation that is ready to serve.
    pub candidates: mpsc::Sender<Candidate>,
}

impl<F: FeedSource> Resyncer<F> {
    /// Waits for requests and fulfils them, for ever.
    pub async fn run(self) {
        loop {
            let reason = self.state.resync_requests.next_request().await;
            tracing::info!("resync started: {reason}");
            self.state.details().resyncing = Some((reason, clock::wall_time()));
            self.retry_until_installed().await;
            self.state.details().resyncing = None;
        }
    }

    async fn retry_until_installed(&self) {
        let mut backoff = Backoff::new(INITIAL_BACKOFF.min(self.timing.max_resync_backoff), self.timing.max_resync_backoff);
        loop {
            let error = match self.try_resync().await {
                Ok(replaced) => {
                    self.state.details().resyncing = None;
                    return self.remove_after_delay(replaced).await;
                }
                Err(ResyncError::Stopping) => return,
                Err(error) => error,
            };
            self.report_failure(&error);
            if self.should_stop_retrying(&error) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay(fastrand::f64())) => {}
                () = self.state.resync_requests.operator_request() => backoff.reset(),
            }
        }
    }

    /// Makes one try, and removes what a failed one leaves behind, which may fill the disk. Returns the generation that served before.
    async fn try_resync(&self) -> Result<Option<Generation>, ResyncError> {
        self.state.details().counters.snapshots_tried += 1;
        let folder = self.next_folder().await?;
        let result = self.resync_into(folder.clone()).await;
        if result.is_err() {
            drop(tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await);
        }
        result
    }

    /// The steps of a resync, in order. Returns the generation that served before.
    async fn resync_into(&self, folder: PathBuf) -> Result<Option<Generation>, ResyncError> {
        let loaded = self.load_snapshot(folder.clone()).await?;
        let LoadedSnapshot { generation, head, coverage, accept_loss, keys } = loaded;
        self.state.loaded_snapshot.send_replace(Some(head));
        let mut tracked = TrackedGeneration::new(generation, coverage, CursorState::Synced(head));
        let (lines, proven_at) = self.catch_up(&mut tracked).await?;
        if !self.differs_by_commits_alone(&tracked) {
            self.check_loss_guard(keys, accept_loss, tracked.generation().clone()).await?;
        }
        self.offer_candidate(tracked, lines, proven_at, folder).await
    }

    async fn next_folder(&self) -> Result<PathBuf, ResyncError> {
        let generations = Arc::clone(&self.generations);
        run_blocking(move || Ok(generations.create_next()?)).await
    }

    /// Returns how large a snapshot may be that does not say its size: what the records take that the primary last said it has, or that this
    /// host has, and never more than the disk has free.
    fn unsized_snapshot_limit(&self, folder: &Path) -> u64 {
        let said = self.state.details().primary.map(|head| head.state.count);
        let held = self.state.serving().generation.as_ref().map(|serving| serving.state().count);
        let by_count = said.max(held).map(|count| count.saturating_mul(MAX_RECORD_BYTES).saturating_add(UNSIZED_SLACK_BYTES));
        let free = statvfs(folder).map_or(u64::MAX, |disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
        by_count.unwrap_or(u64::MAX).min(free)
    }

    async fn load_snapshot(&self, folder: PathBuf) -> Result<LoadedSnapshot, ResyncError> {
        let lines = self.feed.snapshot(self.unsized_snapshot_limit(&folder)).await?;
        let options = self.store_options;
        spawn_low_priority("load", move || load_snapshot(&folder, &options, lines)).await?.map_err(ResyncError::from)
    }

    /// Reads `changes` from where the snapshot ends until the generation equals the primary. A connection that is lost is
    /// made again: the snapshot is worth it.
    async fn catch_up(&self, tracked: &mut TrackedGeneration) -> Result<(ChangeLines, LineDate), ResyncError> {
        let mut connection = FeedConnection::new(Backoff::new(self.timing.initial_backoff, self.timing.max_backoff));
        let mut broken_connections = 0;
        loop {
            let received = match connection.next_event(&self.feed, tracked.feed_position()).await {
                ConnectionEvent::Connected => {
                    tracked.reset_connection();
                    continue;
                }
                ConnectionEvent::Line(received) => received,
                ConnectionEvent::Lost(error @ FeedError::CursorGone(_)) => return Err(ResyncError::CatchUp(error.to_string())),
                ConnectionEvent::Lost(FeedError::StateMismatch { seq }) => return Err(state_mismatch(tracked, seq)),
                ConnectionEvent::Lost(error) => {
                    if matches!(error, FeedError::Forbidden(_) | FeedError::Refused(_)) {
                        self.state.alarms.raise(Alarm::Forbidden, error.to_string(), clock::wall_time());
                    }
                    self.state.record_error(format!("the new generation waits for the feed: {error}"));
                    continue;
                }
            };
            match tracked.apply_line(received.line).await {
                Ok(LineEffect::Proven) => {
                    let lines = connection.into_lines().ok_or_else(|| ResyncError::CatchUp("the stream ended".to_owned()))?;
                    return Ok((lines, received.date));
                }
                Ok(LineEffect::Drifted) => return Err(ResyncError::CatchUp("it does not equal what the primary says".to_owned())),
                Ok(LineEffect::Applied | LineEffect::Unchanged | LineEffect::NotStored) => connection.reset_backoff(),
                Err(ApplyLineError::Store(error)) => return Err(error.into()),
                Err(ApplyLineError::Thread(error)) => return Err(error.into()),
                Err(error @ (ApplyLineError::Gap { .. } | ApplyLineError::WentBack { .. })) => {
                    broken_connections += 1;
                    if broken_connections >= MAX_BROKEN_CONNECTIONS {
                        return Err(ResyncError::CatchUp(error.to_string()));
                    }
                    connection.disconnect();
                }
            }
        }
    }

    /// Returns whether the generation that serves is connected to the history that `tracked` was proven to have: the primary took its cursor.
    /// They differ then by commits that one has and the other not yet, and commits are never held. Keys are not to be counted: what serves
    /// goes on while they are.
    fn differs_by_commits_alone(&self, tracked: &TrackedGeneration) -> bool {
        let Some(head) = self.state.serving().head else { return false };
        let details = self.state.details();
        let is_followed = details.connected_since.is_some() && details.relation == FeedRelation::True;
        is_followed && tracked.synced_head().is_some_and(|proven| proven.epoch == head.epoch)
    }

    /// Refuses a generation that lacks too many keys. Checked after catching up: the primary may send a snapshot that is minutes
    /// old, and what was added since is no loss.
    async fn check_loss_guard(&self, keys: KeySet, accept_loss: bool, candidate: Generation) -> Result<(), ResyncError> {
        let Some(serving) = self.state.serving().generation.clone() else { return Ok(()) };
        let total = serving.counts_by_kind().get("key").copied().unwrap_or(0);
        if accept_loss || total <= self.loss_guard.more_than {
            return Ok(());
        }
        let missing = run_blocking(move || Ok::<_, ResyncError>(keys.count_missing(&serving, &candidate)?)).await?;
        if self.loss_guard.requires_confirmation(missing) {
            return Err(ResyncError::LossHeld { total: missing.total, lost: missing.lost });
        }
        Ok(())
    }

    async fn offer_candidate(
        &self,
        tracked: TrackedGeneration,
        lines: ChangeLines,
        proven_at: LineDate,
        folder: PathBuf,
    ) -> Result<Option<Generation>, ResyncError> {
        let (result_sender, result) = oneshot::channel();
        let candidate = Candidate { tracked, lines, proven_at, folder, result_sender };
        self.candidates.send(candidate).await.map_err(|_| ResyncError::Stopping)?;
        Ok(result.await.map_err(|_| ResyncError::Stopping)??)
    }

    /// Returns whether nothing is gained by trying again: the primary is behind, and what serves is sound.
    fn should_stop_retrying(&self, error: &ResyncError) -> bool {
        let is_behind = matches!(error, ResyncError::Adopt(AdoptError::Behind { .. }));
        is_behind && self.state.details().relation == FeedRelation::True
    }

    fn report_failure(&self, error: &ResyncError) {
        let serving = self.state.serving();
        let message = format!("{error}; {}", consequence(serving.generation.as_ref()));
        match error.alarm() {
            Some(alarm) => self.state.alarms.raise(alarm, &*message, clock::wall_time()),
            None => tracing::warn!("resync failed: {message}"),
        }
        self.state.record_error(message);
    }

    /// Removes old generations, after a while for the requests that still read the one that was replaced.
    async fn remove_after_delay(&self, replaced: Option<Generation>) {
        tokio::time::sleep(self.timing.replaced_generation_ttl).await;
        let generations = Arc::clone(&self.generations);
        let removed = run_blocking(move || {
            drop(replaced);
            Ok::<_, ResyncError>(generations.remove_unused()?)
        });
        if let Err(error) = removed.await {
            tracing::warn!("failed to remove old generations: {error}");
        }
    }
}

/// Returns what a resync that failed means for whoever asks this host.
const fn consequence(serving: Option<&Generation>) -> &'static str {
    match serving {
        Some(_) => "answers go on from what is here, and their age grows",
        None => "there is nothing here to answer from yet",
    }
}

fn state_mismatch(tracked: &TrackedGeneration, seq: Option<u64>) -> ResyncError {
    let ours = tracked.feed_position().map_or(0, |head| head.seq);
    ResyncError::CatchUp(format!("the primary does not know its own snapshot's state (it is at {seq:?}, the snapshot at {ours})"))
}
