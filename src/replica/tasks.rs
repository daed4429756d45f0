//! The tasks of a replica and what connects them: follower, resyncer, flusher and acknowledger, on one thread with a runtime of
//! its own. The panic of a task is an alarm; answers go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::model::clock;
use crate::model::coverage::Coverage;
use crate::model::loss_guard::LossGuard;
use crate::model::revocation_listener::RevocationListener;
use crate::net::client::backoff::Backoff;
use crate::replica::config::Timing;
use crate::replica::feed::connection::FeedConnection;
use crate::replica::feed::http_feed::HostIdentity;
use crate::replica::feed::source::FeedSource;
use crate::replica::follow::flusher::{run_acknowledger, run_flusher};
use crate::replica::follow::follower::{FeedFollower, FollowerCommand};
use crate::replica::follow::serving_store::{Beside, ServingStore};
use crate::replica::follow::unstored_changes::UnstoredChanges;
use crate::replica::resync::Resyncer;
use crate::replica::state::alarm::Alarm;
use crate::replica::state::replica_state::ReplicaState;
use crate::store::generations::generation::StoreOptions;
use crate::store::generations::generations_folder::GenerationsFolder;

/// How long a stop may take before threads that block are left behind.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Most threads of the pool that blocks.
const MAX_BLOCKING_THREADS: usize = 16;

/// What the tasks are started with, wherever the feed comes from.
pub struct TaskConfig {
    /// How much memory the store may take.
    pub store_options: StoreOptions,
    /// Which loss of keys is held until an operator accepts it.
    pub loss_guard: LossGuard,
    /// What a feed covers that does not say it.
    pub unsaid_coverage: Coverage,
    /// Who keeps answers beside the directory; `None` where nobody does.
    pub revocations: Option<Arc<dyn RevocationListener>>,
    /// The delays and timeouts.
    pub timing: Timing,
}

/// The tasks of one replica, before they run.
pub struct ReplicaTasks<F> {
    /// The generations on disk.
    pub generations: Arc<GenerationsFolder>,
    /// What the primary is told of the store.
    pub identity: HostIdentity,
    /// The folder of the store.
    pub store_path: PathBuf,
    /// What the tasks are started with.
    pub config: TaskConfig,
    /// Where the feed comes from.
    pub feed: Arc<F>,
    /// The state that the tasks share.
    pub state: Arc<ReplicaState>,
}

/// Runs the tasks on a new thread until they are told to stop.
pub fn spawn_thread<F: FeedSource>(
    tasks: ReplicaTasks<F>,
    commands: mpsc::UnboundedReceiver<FollowerCommand>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = build_runtime()?;
    std::thread::Builder::new().name("replica".to_owned()).spawn(move || {
        let state = Arc::clone(&tasks.state);
        if catch_unwind(AssertUnwindSafe(|| runtime.block_on(tasks.run(commands)))).is_err() {
            report_panic(&state);
        }
        runtime.shutdown_timeout(STOP_TIMEOUT);
    })
}

fn build_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_name("replica-store")
        .build()
}

impl<F: FeedSource> ReplicaTasks<F> {
    async fn run(self, commands: mpsc::UnboundedReceiver<FollowerCommand>) {
        let Self { generations, identity, store_path, config, feed, state } = self;
        let timing = config.timing;
        let backoff = Backoff::new(timing.initial_backoff, timing.max_backoff);
        let (flush_requests, received_flush_requests) = watch::channel(None);
        let (flushed_sender, flushed) = watch::channel(None);
        let (candidates, received_candidates) = mpsc::channel(1);
        let unstored = open_unstored(&store_path).await;
        let flusher = run_flusher(Arc::clone(&state), Arc::clone(&unstored), received_flush_requests, flushed_sender, timing.ack_interval);
        spawn_supervised(&state, flusher);
        spawn_supervised(&state, run_acknowledger(Arc::clone(&feed), Arc::clone(&state), flushed, identity, backoff));
        let resyncer = Resyncer {
            feed: Arc::clone(&feed),
            state: Arc::clone(&state),
            generations: Arc::clone(&generations),
            store_options: config.store_options,
            loss_guard: config.loss_guard,
            timing,
            candidates,
        };
        spawn_supervised(&state, resyncer.run());
        let beside = Beside { unsaid_coverage: config.unsaid_coverage, revocations: config.revocations };
        let store = ServingStore::new(Arc::clone(&state), generations, &store_path, unstored, flush_requests, beside);
        FeedFollower::new(feed, state, timing, store, FeedConnection::new(backoff)).run(commands, received_candidates).await;
    }
}

/// Reads what the store had not taken when this host was last stopped.
async fn open_unstored(store_path: &Path) -> Arc<UnstoredChanges> {
    let path = store_path.to_path_buf();
    let opened = tokio::task::spawn_blocking(move || UnstoredChanges::open(&path, clock::wall_time())).await;
    Arc::new(opened.unwrap_or_else(|_panicked| UnstoredChanges::unreadable(store_path, clock::wall_time())))
}

/// Runs a task beside the follower; its panic is an alarm.
fn spawn_supervised(state: &Arc<ReplicaState>, task: impl Future<Output = ()> + Send + 'static) {
    let state = Arc::clone(state);
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            report_panic(&state);
        }
    });
}

fn report_panic(state: &ReplicaState) {
    let message = "replication task panicked; serving stale data until restart: restart the daemon, and report this with the log";
    state.alarms.raise(Alarm::Ended, message, clock::wall_time());
    state.record_error(message.to_owned());
}
