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

use crate::model::change::Head;
use crate::model::clock;
use crate::model::freshness::{Following, Limits, View};
use crate::model::loss_guard::LossGuard;
use crate::model::time::BootTime;
use crate::replica::alarm::Alarm;
use crate::replica::feed::Feed;
use crate::replica::flusher::{Signature, acknowledge, flush};
use crate::replica::follow::{Command, Follower, STOP};
use crate::replica::http::HttpFeed;
use crate::replica::link::Link;
use crate::replica::metrics::ReplicaMetrics;
use crate::replica::pause::Pauses;
use crate::replica::resync::Resyncer;
use crate::replica::setup::{Feeding, NotStarted, Pace, Setup};
use crate::replica::shared::Shared;
use crate::replica::status::{NotVerified, Status, Verified};
use crate::store::generation::Options;
use crate::store::generations::Generations;
use crate::wire::secret::Secret;

/// A follower that runs. Dropping it stops it.
pub struct Replica {
    shared: Arc<Shared>,
    secret: Arc<ArcSwap<Secret>>,
    commands: mpsc::UnboundedSender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the loops are started with, whatever carries the feed.
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) keys: Limits,
    pub(super) loss_guard: LossGuard,
    pub(super) pace: Pace,
}

impl Replica {
    /// Starts following. Returns at once: the store opens meanwhile. Refused only for a folder that is not ours, or in use.
    pub fn start(setup: Setup) -> Result<Arc<Self>, NotStarted> {
        let secret = Arc::new(ArcSwap::from_pointee(setup.secret));
        if setup.feeding == Feeding::Nothing {
            return Ok(Arc::new(Self::resting(secret)));
        }
        let feed = HttpFeed::new(setup.client, Arc::clone(&secret), setup.host, setup.pace);
        let plan = Plan { options: setup.options, keys: setup.keys, loss_guard: setup.loss_guard, pace: setup.pace };
        Self::follow(&setup.store, plan, feed, secret)
    }

    /// Follows whatever carries the feed.
    pub(super) fn follow<F: Feed>(store: &Path, plan: Plan, feed: F, secret: Arc<ArcSwap<Secret>>) -> Result<Arc<Self>, NotStarted> {
        let generations = Arc::new(Generations::at(store, plan.options)?);
        let instance = generations.instance()?;
        let shared = Arc::new(Shared::default());
        let (commands, commanded) = mpsc::unbounded_channel();
        let runtime = runtime().map_err(NotStarted::Thread)?;
        let loops = Loops { generations, instance, store: store.to_path_buf(), plan, feed: Arc::new(feed), shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("replica".to_owned()).spawn(move || {
            let shared = Arc::clone(&loops.shared);
            if catch_unwind(AssertUnwindSafe(|| runtime.block_on(loops.run(commanded)))).is_err() {
                ended(&shared);
            }
            runtime.shutdown_timeout(STOP);
        });
        let thread = thread.map_err(NotStarted::Thread)?;
        Ok(Arc::new(Self { shared, secret, commands, thread: Mutex::new(Some(thread)) }))
    }

    /// Knows nothing and follows nothing.
    fn resting(secret: Arc<ArcSwap<Secret>>) -> Self {
        let shared = Arc::new(Shared::default());
        shared.set_opened();
        Self { shared, secret, commands: mpsc::unbounded_channel().0, thread: Mutex::new(None) }
    }

    /// Ends the following: what binds is written, and how old it is. Blocks.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let _already_gone = self.commands.send(Command::Stop(oneshot::channel().0));
        if thread.join().is_err() {
            tracing::error!("the thread that follows the primary had panicked");
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status(clock::boot())
    }

    /// What the serving generation holds at this moment, also between two batches of a commit.
    #[cfg(test)]
    pub(super) fn state(&self) -> Option<crate::model::digest::State> {
        self.shared.serving().map(|generation| generation.state())
    }

    /// Rings whenever the status may have changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.watch_stirred()
    }

    /// Fetches a snapshot, now, whatever the state of things.
    pub fn resync(&self) {
        self.shared.wanted.ask("an operator asked for it");
    }

    /// Reads the store through and compares it with what it says of itself and with the primary.
    pub async fn verify(&self) -> Result<Verified, NotVerified> {
        let (found, verified) = oneshot::channel();
        self.commands.send(Command::Verify(found)).map_err(|_| NotVerified::Stopping)?;
        verified.await.map_err(|_| NotVerified::Stopping)?
    }

    /// Signs with another secret from now on. The open stream goes on until the primary ends it.
    pub fn renew(&self, secret: Secret) {
        self.secret.store(Arc::new(secret));
    }

    /// Puts the replica's numbers into the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(ReplicaMetrics(Arc::clone(&self.shared))));
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Following for Replica {
    fn view(&self) -> Option<View> {
        self.shared.view()
    }

    fn opened(&self, limit: Duration) -> Pin<Box<dyn Future<Output = Option<View>> + Send + '_>> {
        Box::pin(async move {
            let mut opened = self.shared.watch_opened();
            drop(tokio::time::timeout(limit, opened.wait_for(|opened| *opened)).await);
            self.view()
        })
    }

    fn age(&self, now: BootTime) -> Option<Duration> {
        self.shared.age(now)
    }

    fn caught_up(&self) -> bool {
        self.shared.caught_up()
    }

    fn head(&self) -> Option<Head> {
        self.shared.head()
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(16).thread_name("replica-store").build()
}

/// Runs a loop beside the following; its panic is an alarm.
fn attend(shared: &Arc<Shared>, work: impl Future<Output = ()> + Send + 'static) {
    let shared = Arc::clone(shared);
    let work = tokio::spawn(work);
    tokio::spawn(async move {
        if work.await.is_err_and(|failure| failure.is_panic()) {
            ended(&shared);
        }
    });
}

fn ended(shared: &Shared) {
    let message = "a part of the following has ended by a fault of this program; answers go on and their age grows: restart the daemon, and say so to us with the log";
    shared.alarms.raise(Alarm::Ended, message, clock::wall());
    shared.problem(message.to_owned());
    shared.stir();
}

struct Loops<F> {
    generations: Arc<Generations>,
    instance: String,
    store: std::path::PathBuf,
    plan: Plan,
    feed: Arc<F>,
    shared: Arc<Shared>,
}

impl<F: Feed> Loops<F> {
    async fn run(self, commands: mpsc::UnboundedReceiver<Command>) {
        let Self { generations, instance, store, plan, feed, shared } = self;
        let pace = plan.pace;
        let pauses = Pauses::new(pace.first_pause, pace.longest_pause);
        let (binding, bound) = watch::channel(None);
        let (durable, written) = watch::channel(None);
        let (candidates, considered) = mpsc::channel(1);
        let signature = Signature { max_stale: plan.keys.max_stale.as_secs(), instance };
        attend(&shared, flush(Arc::clone(&shared), bound, durable, pace.ack_every));
        attend(&shared, acknowledge(Arc::clone(&feed), Arc::clone(&shared), written, signature, pauses.clone()));
        let resyncer = Resyncer {
            feed: Arc::clone(&feed),
            shared: Arc::clone(&shared),
            generations: Arc::clone(&generations),
            options: plan.options,
            guard: plan.loss_guard,
            pace,
            candidates,
        };
        attend(&shared, resyncer.run());
        Follower::new(feed, shared, generations, &store, pace, Link::new(pauses), binding).run(commands, considered).await;
    }
}
