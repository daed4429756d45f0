//! Paces all questions to one GitLab, of both its APIs: never more than `requests_per_second`, without bursts, the most urgent first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::mirror::gitlab::answer::Answer;
use crate::mirror::gitlab::clock::Clock;
use crate::mirror::gitlab::transport::Api;
use crate::mirror::gitlab::turns::{Place, Priority, Turn, Turns};
use crate::model::time::BootTime;

/// Gives turns.
pub struct Pacer {
    clock: Arc<dyn Clock>,
    turns: Mutex<Turns>,
    changed: Notify,
}

impl Pacer {
    /// Starts with this many questions a second, at least one.
    #[must_use]
    pub fn new(requests_per_second: u32, clock: Arc<dyn Clock>) -> Self {
        Self { clock, turns: Mutex::new(Turns::new(requests_per_second)), changed: Notify::new() }
    }

    /// Sets another rate.
    pub fn set_rate(&self, requests_per_second: u32) {
        self.turns().set_rate(requests_per_second);
    }

    /// Waits for a turn, and returns when it came. Whoever stops waiting keeps nobody.
    pub async fn turn(&self, priority: Priority, api: Api) -> BootTime {
        let waiting = Waiting { pacer: self, place: self.turns().join(priority, api) };
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = self.clock.boot_time();
            let turn = self.turns().take(waiting.place, now);
            match turn {
                Turn::Now => return now,
                Turn::At(time) => tokio::select! {
                    () = self.clock.sleep_until(time) => {}
                    () = changed => {}
                },
                Turn::AfterOthers => changed.await,
            }
        }
    }

    /// Records what became of a question that was asked at `asked_at`.
    pub fn record<T>(&self, api: Api, asked_at: BootTime, answer: &Answer<T>) {
        let (now, jitter) = (self.clock.boot_time(), fastrand::f64());
        let mut turns = self.turns();
        match answer {
            Answer::Found(_) | Answer::NotFound => turns.record_success(api),
            Answer::Unauthorized(_) | Answer::Failed(_) => turns.record_failure(api, asked_at, now, jitter),
            Answer::Limited(after) => turns.record_limit(api, *after, asked_at, now, jitter),
        }
        drop(turns);
        self.changed.notify_waiters();
    }

    /// Returns when an API may be asked next; it is in the past if it may be asked now.
    #[must_use]
    pub fn ready_at(&self, api: Api) -> BootTime {
        self.turns().ready_at(api)
    }

    /// Returns how many questions of a priority wait.
    #[must_use]
    pub fn waiting(&self, priority: Priority) -> usize {
        self.turns().waiting(priority)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits, until dropped.
struct Waiting<'a> {
    pacer: &'a Pacer,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pacer.turns().leave(self.place);
        self.pacer.changed.notify_waiters();
    }
}
