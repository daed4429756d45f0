//! Writes what binds to disk, then says so to the primary: at most once in a tenth of a second, and never before.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::model::change::Head;
use crate::model::clock;
use crate::net::client::backoff::Backoff;
use crate::replica::alarm::Alarm;
use crate::replica::feed::FeedSource;
use crate::replica::state::ReplicaState;
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::Ack;

/// What binds in answers and is to be written.
#[derive(Clone)]
pub struct FlushRequest {
    /// Where.
    pub generation: Generation,
    /// What to acknowledge; `None` while the store does not equal the primary.
    pub head: Option<Head>,
}

/// Flushes what is new, again and again, until nobody tells it more.
pub async fn run_flusher(
    shared: Arc<ReplicaState>,
    mut binding: watch::Receiver<Option<FlushRequest>>,
    durable: watch::Sender<Option<Head>>,
    every: Duration,
) {
    let mut failures = 0_u32;
    while binding.changed().await.is_ok() {
        let Some(FlushRequest { generation, head }) = binding.borrow_and_update().clone() else { continue };
        let flushed = tokio::task::spawn_blocking(move || generation.flush()).await;
        match flushed {
            Ok(Ok(())) => {
                failures = 0;
                shared.alarms.clear(Alarm::Store);
                if let Some(head) = head {
                    shared.details().flushed = Some(head);
                    durable.send_replace(Some(head));
                }
            }
            Ok(Err(damage)) => {
                failures += 1;
                let message = format!("{damage}; answers go on, what changes now may be lost at a restart and is not acknowledged");
                shared.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                shared.record_error(message);
                if failures > 1 {
                    shared.resync_requests.request("the store cannot be written");
                }
                binding.mark_changed();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(_stopped) => return,
        }
        tokio::time::sleep(every).await;
    }
}

/// What an ack says beside the head.
pub struct AckIdentity {
    /// Seconds for which this host may answer keys from data that old.
    pub max_stale: u64,
    /// The random id of this store.
    pub instance: String,
}

/// Acknowledges what is durable, the newest only; tries again after a pause.
pub async fn run_acknowledger<F: FeedSource>(
    feed: Arc<F>,
    shared: Arc<ReplicaState>,
    mut durable: watch::Receiver<Option<Head>>,
    signature: AckIdentity,
    mut pauses: Backoff,
) {
    while durable.changed().await.is_ok() {
        let Some(head) = *durable.borrow_and_update() else { continue };
        let AckIdentity { max_stale, ref instance } = signature;
        let ack = Ack { epoch: head.epoch, seq: head.seq, digest: head.state.digest, max_stale, instance: instance.clone() };
        match feed.ack(ack).await {
            Ok(()) => {
                pauses.reset();
                shared.details().acknowledged = Some(head);
            }
            Err(no_feed) => {
                tracing::debug!(seq = head.seq, "the primary did not take the ack: {no_feed}");
                durable.mark_changed();
                tokio::time::sleep(pauses.next_delay(fastrand::f64())).await;
            }
        }
    }
}
