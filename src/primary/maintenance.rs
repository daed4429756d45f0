//! What goes on beside requests: one thread that encodes each commit once for all followers, and one that writes now and
//! then what may be lost. Both end when the primary does.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::clock;
use crate::primary::credentials::last_used::LastUsed;
use crate::primary::pushes::messages;
use crate::primary::replication::feed_buffer::FeedBuffer;
use crate::primary::replication::hosts::HostRegistry;
use crate::store::primary::primary_store::PrimaryStore;
use crate::store::primary::private_store::PrivateStore;

/// How often what may be lost is written.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(5);

/// The two threads; dropping it ends them.
pub struct Maintenance {
    feed_encoder: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    persister: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Maintenance {
    /// Starts both.
    pub fn start(store: &PrimaryStore, lines: &Arc<FeedBuffer>, hosts: &Arc<HostRegistry>, usage: &Arc<LastUsed>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop_encoder, stopped) = oneshot::channel();
        let encoding = run_feed_encoder(store.clone(), Arc::clone(lines), stopped);
        let encoder = std::thread::Builder::new().name("feed".to_owned()).spawn(move || runtime.block_on(encoding))?;
        let (stop_writer, stopped) = mpsc::channel();
        let (ledger, hosts, usage) = (store.private_store().clone(), Arc::clone(hosts), Arc::clone(usage));
        let writer =
            std::thread::Builder::new().name("ledger".to_owned()).spawn(move || run_persister(&ledger, &hosts, &usage, &stopped))?;
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
            tracing::error!("a thread of the primary had ended by a panic");
        }
    }
}

/// Encodes commits as they come. A journal that cannot be read is tried again: followers then read it themselves, or are cut off.
async fn run_feed_encoder(store: PrimaryStore, lines: Arc<FeedBuffer>, mut stopped: oneshot::Receiver<()>) {
    const RETRY_DELAY: Duration = Duration::from_secs(1);
    let mut heads = store.watch_head();
    loop {
        let caught_up = lines.catch_up(&store);
        if let Err(damage) = &caught_up {
            tracing::error!(%damage, "the journal cannot be read");
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

/// Persists what hosts and keys did every [`PERSIST_INTERVAL`] and once more at the end, and removes messages that nobody fetched.
fn run_persister(ledger: &PrivateStore, hosts: &HostRegistry, usage: &LastUsed, stopped: &mpsc::Receiver<()>) {
    loop {
        let end = !matches!(stopped.recv_timeout(PERSIST_INTERVAL), Err(RecvTimeoutError::Timeout));
        for outcome in [hosts.persist(ledger), usage.persist(ledger), messages::remove_expired(ledger, clock::wall_time())] {
            if let Err(damage) = outcome {
                tracing::warn!(%damage, "what was seen of hosts and uses, or what nobody waits for, could not be written");
            }
        }
        if end {
            return;
        }
    }
}
