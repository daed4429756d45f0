//! What goes on beside requests: one thread that encodes each commit once for all followers, and one that persists usage and hosts now and
//! then. Both end when the primary does.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::api::request::RequestTime;
use crate::primary::credentials::last_used::LastUsed;
use crate::primary::directory::reserved_projects;
use crate::primary::pushes::messages;
use crate::primary::replication::feed_buffer::FeedBuffer;
use crate::primary::replication::hosts::HostRegistry;
use crate::primary::replication::missing_hosts::MissingHosts;
use crate::store::primary::primary_store::PrimaryStore;

/// How often usage and hosts are persisted.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(5);

/// The two threads. Dropping it ends them.
pub struct Maintenance {
    feed_encoder: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    persister: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Maintenance {
    /// Starts both threads.
    pub fn start(
        store: &PrimaryStore,
        feed: &Arc<FeedBuffer>,
        hosts: Arc<HostRegistry>,
        missing_hosts: Arc<MissingHosts>,
        usage: Arc<LastUsed>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop_encoder, stopped) = oneshot::channel();
        let encoding = run_feed_encoder(store.clone(), Arc::clone(feed), stopped);
        let encoder = std::thread::Builder::new().name("feed".to_owned()).spawn(move || runtime.block_on(encoding))?;
        let (stop_writer, stopped) = mpsc::channel();
        let persister = Persister { store: store.clone(), hosts, missing_hosts, usage };
        let writer = std::thread::Builder::new().name("persister".to_owned()).spawn(move || persister.run(&stopped))?;
        Ok(Self { feed_encoder: Some((stop_encoder, encoder)), persister: Some((stop_writer, writer)) })
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        let ended = [
            self.feed_encoder.take().map(|(stop, thread)| {
                drop(stop);
                thread.join()
            }),
            self.persister.take().map(|(stop, thread)| {
                drop(stop);
                thread.join()
            }),
        ];
        if ended.into_iter().flatten().any(|outcome| outcome.is_err()) {
            tracing::error!("a thread of the primary panicked");
        }
    }
}

/// Encodes commits as they come. A journal that cannot be read is tried again; meanwhile followers read it themselves, or are cut off.
async fn run_feed_encoder(store: PrimaryStore, feed: Arc<FeedBuffer>, mut stopped: oneshot::Receiver<()>) {
    const RETRY_DELAY: Duration = Duration::from_secs(1);
    let mut heads = store.watch_head();
    loop {
        let caught_up = feed.catch_up(&store);
        if let Err(error) = &caught_up {
            tracing::error!(%error, "failed to read the journal: {error}");
        }
        tokio::select! {
            _ = &mut stopped => return,
            changed = heads.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(RETRY_DELAY), if caught_up.is_err() => {}
        }
    }
}

/// What is persisted now and then.
struct Persister {
    store: PrimaryStore,
    hosts: Arc<HostRegistry>,
    missing_hosts: Arc<MissingHosts>,
    usage: Arc<LastUsed>,
}

impl Persister {
    /// Persists usage and hosts every [`PERSIST_INTERVAL`], and once more at the end; and removes messages and reservations that
    /// have expired.
    fn run(&self, stopped: &mpsc::Receiver<()>) {
        let private_store = self.store.private_store();
        loop {
            let at_end = !matches!(stopped.recv_timeout(PERSIST_INTERVAL), Err(RecvTimeoutError::Timeout));
            let now = RequestTime::now();
            for outcome in [
                self.hosts.persist(private_store, now.boot, at_end),
                self.missing_hosts.persist(private_store, now),
                self.usage.persist(&self.store),
                messages::remove_expired(private_store, now.wall),
                reserved_projects::remove_expired(private_store, now.wall),
            ] {
                if let Err(error) = outcome {
                    tracing::warn!(%error, "failed to persist host and usage state: {error}");
                }
            }
            if at_end {
                return;
            }
        }
    }
}
