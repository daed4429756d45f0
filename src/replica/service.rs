//! The room's door: starts the loops on a thread of their own, answers what others ask of them, and ends them cleanly.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::model::clock;
use crate::model::freshness::{DirectoryReplica, FreshnessLimits, ReplicaReading};
use crate::model::loss_guard::LossGuard;
use crate::net::client::backoff::Backoff;
use crate::replica::alarm::Alarm;
use crate::replica::config::{FeedMode, ReplicaConfig, StartError, Timing};
use crate::replica::feed::FeedSource;
use crate::replica::feed_connection::FeedConnection;
use crate::replica::flusher::{AckIdentity, run_acknowledger, run_flusher};
use crate::replica::follow::{FeedFollower, ReplicaCommand, STOP_TIMEOUT};
use crate::replica::http_feed::HttpFeed;
use crate::replica::metrics::ReplicaMetrics;
use crate::replica::resync::Resyncer;
#[cfg(test)]
use crate::replica::serving::Serving;
use crate::replica::state::ReplicaState;
use crate::replica::status::{ReplicaStatus, VerifyError, VerifyReport};
use crate::store::generations::generation::StoreOptions;
use crate::store::generations::generations_folder::GenerationsFolder;
use crate::wire::auth::secret::Secret;

/// A follower that runs. Dropping it stops it.
pub struct Replica {
    state: Arc<ReplicaState>,
    sync_secret: Arc<ArcSwap<Secret>>,
    commands: mpsc::UnboundedSender<ReplicaCommand>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the loops are started with, whatever carries the feed.
pub(super) struct TaskConfig {
    pub(super) store_options: StoreOptions,
    pub(super) key_limits: FreshnessLimits,
    pub(super) loss_guard: LossGuard,
    pub(super) timing: Timing,
}

impl Replica {
    /// Starts following. Returns at once: the store opens meanwhile. Refused only for a folder that is not ours, or in use.
    pub fn start(setup: ReplicaConfig) -> Result<Arc<Self>, StartError> {
        let secret = Arc::new(ArcSwap::from_pointee(setup.sync_secret));
        if setup.feed_mode == FeedMode::Disabled {
            return Ok(Arc::new(Self::disabled(secret)));
        }
        let feed = HttpFeed::new(setup.feed_client, Arc::clone(&secret), setup.host, setup.timing);
        let plan = TaskConfig {
            store_options: setup.store_options,
            key_limits: setup.key_limits,
            loss_guard: setup.loss_guard,
            timing: setup.timing,
        };
        Self::start_with_feed(&setup.store_path, plan, feed, secret)
    }

    /// Follows whatever carries the feed.
    pub(super) fn start_with_feed<F: FeedSource>(
        store: &Path,
        plan: TaskConfig,
        feed: F,
        secret: Arc<ArcSwap<Secret>>,
    ) -> Result<Arc<Self>, StartError> {
        let generations = Arc::new(GenerationsFolder::open(store, plan.store_options)?);
        let instance = generations.instance_id()?;
        let shared = Arc::new(ReplicaState::default());
        let (commands, commanded) = mpsc::unbounded_channel();
        let runtime = build_runtime().map_err(StartError::Thread)?;
        let loops = ReplicaTasks {
            generations,
            instance,
            store_path: store.to_path_buf(),
            config: plan,
            feed: Arc::new(feed),
            state: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("replica".to_owned()).spawn(move || {
            let shared = Arc::clone(&loops.state);
            if catch_unwind(AssertUnwindSafe(|| runtime.block_on(loops.run(commanded)))).is_err() {
                report_panic(&shared);
            }
            runtime.shutdown_timeout(STOP_TIMEOUT);
        });
        let thread = thread.map_err(StartError::Thread)?;
        Ok(Arc::new(Self { state: shared, sync_secret: secret, commands, thread: Mutex::new(Some(thread)) }))
    }

    /// Knows nothing and follows nothing.
    fn disabled(secret: Arc<ArcSwap<Secret>>) -> Self {
        let shared = Arc::new(ReplicaState::default());
        shared.set_opened();
        Self { state: shared, sync_secret: secret, commands: mpsc::unbounded_channel().0, thread: Mutex::new(None) }
    }

    /// Ends the following: what binds is written, and how old it is. Blocks.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let _already_gone = self.commands.send(ReplicaCommand::Stop);
        if thread.join().is_err() {
            tracing::error!("the thread that follows the primary had panicked");
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> ReplicaStatus {
        self.state.status(clock::boot_time())
    }

    /// Returns what is served at this moment, for tests that look inside.
    #[cfg(test)]
    pub(super) fn serving(&self) -> Arc<Serving> {
        self.state.serving()
    }

    /// Fetches a snapshot, now, whatever the state of things.
    pub fn resync(&self) {
        self.state.resync_requests.request_by_operator("an operator asked for it");
    }

    /// Reads the store through and compares it with what it says of itself and with the primary.
    pub async fn verify(&self) -> Result<VerifyReport, VerifyError> {
        let (found, verified) = oneshot::channel();
        self.commands.send(ReplicaCommand::Verify(found)).map_err(|_| VerifyError::Stopping)?;
        verified.await.map_err(|_| VerifyError::Stopping)?
    }

    /// Signs with another secret from now on. The open stream goes on until the primary ends it.
    pub fn set_sync_secret(&self, secret: Secret) {
        self.sync_secret.store(Arc::new(secret));
    }

    /// Puts the replica's numbers into the metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ReplicaMetrics(Arc::clone(&self.state))));
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

impl DirectoryReplica for Replica {
    fn read(&self) -> ReplicaReading {
        self.state.serving().reading.clone()
    }

    fn wait_until_open(&self, limit: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move { drop(tokio::time::timeout(limit, self.state.wait_until_open()).await) })
    }
}

fn build_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).thread_name("replica-store").build()
}

/// Runs a loop beside the following; its panic is an alarm.
fn spawn_supervised(shared: &Arc<ReplicaState>, work: impl Future<Output = ()> + Send + 'static) {
    let shared = Arc::clone(shared);
    let work = tokio::spawn(work);
    tokio::spawn(async move {
        if work.await.is_err_and(|failure| failure.is_panic()) {
            report_panic(&shared);
        }
    });
}

fn report_panic(shared: &ReplicaState) {
    let message = "a part of the following has ended by a fault of this program; answers go on and their age grows: restart the daemon, and say so to us with the log";
    shared.alarms.raise(Alarm::Ended, message, clock::wall_time());
    shared.record_error(message.to_owned());
}

struct ReplicaTasks<F> {
    generations: Arc<GenerationsFolder>,
    instance: String,
    store_path: std::path::PathBuf,
    config: TaskConfig,
    feed: Arc<F>,
    state: Arc<ReplicaState>,
}

impl<F: FeedSource> ReplicaTasks<F> {
    async fn run(self, commands: mpsc::UnboundedReceiver<ReplicaCommand>) {
        let Self { generations, instance, store_path: store, config: plan, feed, state: shared } = self;
        let pace = plan.timing;
        let pauses = Backoff::new(pace.initial_backoff, pace.max_backoff);
        let (binding, bound) = watch::channel(None);
        let (durable, written) = watch::channel(None);
        let (candidates, considered) = mpsc::channel(1);
        let signature = AckIdentity { max_stale: plan.key_limits.max_stale.as_secs(), instance };
        spawn_supervised(&shared, run_flusher(Arc::clone(&shared), bound, durable, pace.ack_interval));
        spawn_supervised(&shared, run_acknowledger(Arc::clone(&feed), Arc::clone(&shared), written, signature, pauses));
        let resyncer = Resyncer {
            feed: Arc::clone(&feed),
            state: Arc::clone(&shared),
            generations: Arc::clone(&generations),
            store_options: plan.store_options,
            loss_guard: plan.loss_guard,
            timing: pace,
            candidates,
        };
        spawn_supervised(&shared, resyncer.run());
        FeedFollower::new(feed, shared, generations, &store, pace, FeedConnection::new(pauses), binding).run(commands, considered).await;
    }
}
