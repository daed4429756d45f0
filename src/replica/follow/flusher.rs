//! Flushes what was applied to disk, and only then acknowledges it to the primary: at most once in an interval.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinError;

use crate::model::change::Head;
use crate::model::clock;
use crate::net::client::backoff::Backoff;
use crate::replica::feed::http_feed::HostIdentity;
use crate::replica::feed::source::FeedSource;
use crate::replica::follow::unstored_changes::{StorePosition, UnstoredChanges};
use crate::replica::state::alarm::Alarm;
use crate::replica::state::replica_state::ReplicaState;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;
use crate::wire::directory::feed_lines::Ack;

/// How long a flush that failed waits before it is tried again.
const FAILED_FLUSH_DELAY: Duration = Duration::from_secs(1);

/// The longest time between two acknowledgements: each is an exchange that places the primary's clock anew.
const MAX_ACK_INTERVAL: Duration = Duration::from_secs(30);

/// What was applied and is to be flushed.
#[derive(Clone)]
pub struct FlushRequest {
    /// The generation it was applied to.
    pub generation: Generation,
    /// The head to acknowledge; `None` while the store does not equal the primary.
    pub head: Option<Head>,
    /// What was applied when this was requested.
    pub applied: StorePosition,
    /// Whether the store was found equal to what the primary has at present, so that nothing from before is missing in it.
    pub is_proven: bool,
}

/// Flushes what is requested, the newest only, until the sender of requests is gone. What restricts and cannot be flushed is held.
pub async fn run_flusher(
    state: Arc<ReplicaState>,
    unstored: Arc<UnstoredChanges>,
    mut requests: watch::Receiver<Option<FlushRequest>>,
    flushed_sender: watch::Sender<Option<Head>>,
    flush_interval: Duration,
) {
    let mut failures = 0_u32;
    while requests.changed().await.is_ok() {
        let Some(request) = requests.borrow_and_update().clone() else { continue };
        let head = request.head;
        match flush(request, Arc::clone(&unstored)).await {
            Ok(Ok(is_released)) => {
                failures = 0;
                state.alarms.clear(Alarm::Store);
                if is_released {
                    state.publish_held(unstored.held());
                }
                if let Some(head) = head {
                    state.details().flushed = Some(head);
                    flushed_sender.send_replace(Some(head));
                }
            }
            Ok(Err(error)) => {
                failures += 1;
                let message = format!("{error}; answers go on, what changes now may be lost at a restart and is not acknowledged");
                state.alarms.raise(Alarm::Store, &*message, clock::wall_time());
                state.record_error(message);
                hold_unstored(&state, &unstored).await;
                // Unless another generation has taken over meanwhile.
                if requests.has_changed().is_ok_and(|has_changed| !has_changed) {
                    if failures > 1 {
                        state.resync_requests.request("the store cannot be written");
                    }
                    requests.mark_changed();
                }
                tokio::time::sleep(FAILED_FLUSH_DELAY).await;
            }
            Err(_ended) => return,
        }
        tokio::time::sleep(flush_interval).await;
    }
}

/// Flushes one request. Returns whether what was held is held no more.
async fn flush(request: FlushRequest, unstored: Arc<UnstoredChanges>) -> Result<Result<bool, StoreError>, JoinError> {
    let FlushRequest { generation, applied, is_proven, .. } = request;
    let flushing = move || {
        generation.flush()?;
        Ok(unstored.on_stored(applied, is_proven.then_some(applied)))
    };
    tokio::task::spawn_blocking(flushing).await
}

/// Holds what restricts and is not on disk, and makes it bind.
pub async fn hold_unstored(state: &ReplicaState, unstored: &Arc<UnstoredChanges>) {
    let holding = Arc::clone(unstored);
    let is_held = tokio::task::spawn_blocking(move || holding.hold(clock::wall_time())).await;
    if is_held.unwrap_or(true) {
        state.publish_held(unstored.held());
    }
}

/// Acknowledges what was flushed, the newest only, and the same again after [`MAX_ACK_INTERVAL`]: the answer carries the primary's clock.
/// Tries again after a delay.
pub async fn run_acknowledger<F: FeedSource>(
    feed: Arc<F>,
    state: Arc<ReplicaState>,
    mut flushed: watch::Receiver<Option<Head>>,
    identity: HostIdentity,
    mut backoff: Backoff,
) {
    loop {
        tokio::select! {
            changed = flushed.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(MAX_ACK_INTERVAL) => {}
        }
        let Some(head) = *flushed.borrow_and_update() else { continue };
        let (max_stale, instance) = (identity.bound.claimed(), identity.instance.clone());
        let ack = Ack { epoch: head.epoch, seq: head.seq, digest: head.state.digest, max_stale, instance };
        let alarms: Vec<&str> = state.alarms.active().iter().map(|active| active.alarm.as_str()).collect();
        match feed.ack(ack, &alarms).await {
            Ok(()) => {
                identity.confirm_bound(max_stale);
                backoff.reset();
                state.details().acknowledged = Some(head);
            }
            Err(error) => {
                tracing::debug!(seq = head.seq, "failed to acknowledge commit {}: {error}", head.seq);
                flushed.mark_changed();
                tokio::time::sleep(backoff.next_delay(fastrand::f64())).await;
            }
        }
    }
}
