//! Asks for kept answers again before they are too old, a few at a time, while the primary answers and has time for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::model::clock;
use crate::sidecar::kept::refresh_queue::Refresh;
use crate::sidecar::kept_answer::ask;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::concurrency_limit::RequestClass;

/// How often it is looked for what is due.
const INTERVAL: Duration = Duration::from_millis(100);
/// The most that are asked for at a time.
const MAX_REFRESHES: usize = 16;
/// They take at most one in so many of the permits for requests to the primary.
const PERMIT_SHARE: usize = 4;

impl SidecarState {
    /// Asks for kept answers again until the task is dropped; does nothing where none are kept.
    pub async fn refresh_kept_answers(self: Arc<Self>) {
        let Some(kept) = &self.kept else { return };
        let slots = Arc::new(Semaphore::new(MAX_REFRESHES.min(self.config.bounds.forwards / PERMIT_SHARE).max(1)));
        loop {
            sleep(INTERVAL).await;
            let now = clock::boot_time();
            kept.answers.purge(now);
            for refresh in kept.refreshes.take_due(now, slots.available_permits()) {
                self.start_refresh(refresh, &slots);
            }
        }
    }

    /// Asks for one again in a task of its own. While the primary fails, or callers have taken half of the permits, it is left out: who
    /// uses it next asks.
    fn start_refresh(self: &Arc<Self>, refresh: Refresh, slots: &Arc<Semaphore>) {
        let (under_way, _) = self.upstream.channel().concurrency_limit.load();
        let is_busy = under_way >= self.config.bounds.forwards / 2;
        let Ok(slot) = Arc::clone(slots).try_acquire_owned() else { return };
        if is_busy || self.upstream.is_failing() {
            return;
        }
        let state = Arc::clone(self);
        tokio::spawn(async move {
            let Some(kept) = &state.kept else { return };
            if kept.answers.is_kept_since(refresh.question.key, refresh.proven_at) {
                kept.answers.metrics.refreshes.inc();
                let _recorded = ask(&state, kept, refresh.question, RequestClass::Other).await;
            }
            drop(slot);
        });
    }
}
