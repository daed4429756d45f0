//! The replica as others hold it: started, read, asked for its status, resynced, verified, stopped.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

use crate::model::clock;
use crate::model::freshness::{DirectoryReplica, ReplicaReading};
use crate::replica::config::{FeedMode, ReplicaConfig, StartError};
use crate::replica::feed::confirmed_bound::ConfirmedBound;
use crate::replica::feed::http_feed::{HostIdentity, HttpFeed};
use crate::replica::feed::source::FeedSource;
use crate::replica::follow::follower::FollowerCommand;
use crate::replica::metrics::ReplicaMetrics;
use crate::replica::state::alarm::AlarmCount;
use crate::replica::state::replica_state::ReplicaState;
#[cfg(test)]
use crate::replica::state::serving::Serving;
use crate::replica::state::status::{ReplicaStatus, VerifyError, VerifyReport};
use crate::replica::tasks::{ReplicaTasks, TaskConfig, spawn_thread};
use crate::store::generations::generations_folder::GenerationsFolder;
use crate::wire::auth::secret::Secret;

/// A replica that follows a primary. Dropping it stops it.
pub struct Replica {
    state: Arc<ReplicaState>,
    sync_secret: Arc<ArcSwap<Secret>>,
    commands: mpsc::UnboundedSender<FollowerCommand>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Replica {
    /// Starts following. Returns at once: the store opens meanwhile. Fails only for a folder that is not ours, or in use.
    pub fn start(config: ReplicaConfig) -> Result<Arc<Self>, StartError> {
        let sync_secret = Arc::new(ArcSwap::from_pointee(config.sync_secret));
        if config.feed_mode == FeedMode::Disabled {
            return Ok(Arc::new(Self::disabled(sync_secret)));
        }
        let generations = Arc::new(GenerationsFolder::open(&config.store_path, config.store_options)?);
        let identity = open_identity(&generations, &config.store_path, config.longest_max_stale)?;
        let feed = HttpFeed::new(config.feed_client, Arc::clone(&sync_secret), config.host, config.timing, identity.clone());
        let task_config = TaskConfig {
            store_options: config.store_options,
            loss_guard: config.loss_guard,
            unsaid_coverage: config.unsaid_coverage,
            revocations: config.revocations,
            timing: config.timing,
        };
        Self::start_with_feed(generations, identity, &config.store_path, task_config, feed, sync_secret)
    }

    fn start_with_feed<F: FeedSource>(
        generations: Arc<GenerationsFolder>,
        identity: HostIdentity,
        store_path: &Path,
        config: TaskConfig,
        feed: F,
        sync_secret: Arc<ArcSwap<Secret>>,
    ) -> Result<Arc<Self>, StartError> {
        let state = Arc::new(ReplicaState::new(Arc::clone(&identity.bound)));
        let (commands, received_commands) = mpsc::unbounded_channel();
        let tasks = ReplicaTasks {
            generations,
            identity,
            store_path: store_path.to_path_buf(),
            config,
            feed: Arc::new(feed),
            state: Arc::clone(&state),
        };
        let thread = spawn_thread(tasks, received_commands).map_err(StartError::Thread)?;
        Ok(Arc::new(Self { state, sync_secret, commands, thread: Mutex::new(Some(thread)) }))
    }

    /// A replica that holds nothing and follows nothing.
    fn disabled(sync_secret: Arc<ArcSwap<Secret>>) -> Self {
        let state = Arc::new(ReplicaState::new(Arc::new(ConfirmedBound::unlimited())));
        state.set_opened();
        Self { state, sync_secret, commands: mpsc::unbounded_channel().0, thread: Mutex::new(None) }
    }

    /// Stops following, once all that was applied is on disk, and how old it is. Blocks.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let _already_gone = self.commands.send(FollowerCommand::Stop);
        if thread.join().is_err() {
            tracing::error!("the replication thread panicked");
        }
    }

    /// Returns the status, for the operator.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.state.status(clock::boot_time())
    }

    /// Returns what is served at this moment, for tests that look inside.
    #[cfg(test)]
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.state.serving()
    }

    /// Requests a new generation from a whole snapshot, now.
    pub fn resync(&self) {
        self.state.resync_requests.request_by_operator("an operator asked for it");
    }

    /// Reads the store through and compares it with what it says of itself and with the primary.
    pub async fn verify(&self) -> Result<VerifyReport, VerifyError> {
        let (report_sender, report) = oneshot::channel();
        self.commands.send(FollowerCommand::Verify(report_sender)).map_err(|_| VerifyError::Stopping)?;
        report.await.map_err(|_| VerifyError::Stopping)?
    }

    /// Signs with another secret from now on. The open stream goes on until the primary ends it.
    pub fn set_sync_secret(&self, secret: Secret) {
        self.sync_secret.store(Arc::new(secret));
    }

    /// Returns, for each kind of alarm, whether it is active and how often it was raised.
    #[must_use]
    pub fn alarm_counts(&self) -> Vec<AlarmCount> {
        self.state.alarms.counts().to_vec()
    }

    /// Registers the replica's metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ReplicaMetrics(Arc::clone(&self.state))));
    }
}

/// Returns what the primary is told of a store. Blocks.
fn open_identity(generations: &GenerationsFolder, store_path: &Path, longest_max_stale: Duration) -> Result<HostIdentity, StartError> {
    let instance = generations.instance_id()?;
    let has_followed = generations.current_path().map_or(true, |current| current.is_some());
    let bound = Arc::new(ConfirmedBound::open(store_path, &instance, longest_max_stale, has_followed));
    Ok(HostIdentity { instance, bound })
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

impl DirectoryReplica for Replica {
    fn read(&self) -> ReplicaReading {
        let confirmed_max_stale = Duration::from_secs(self.state.bound.confirmed());
        ReplicaReading { confirmed_max_stale, ..self.state.serving().reading.clone() }
    }

    fn wait_until_open(&self, limit: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { drop(tokio::time::timeout(limit, self.state.wait_until_open()).await) })
    }
}
