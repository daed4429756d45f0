//! The one thread of a mirror's own work, and what asks it for more.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{Notify, oneshot};

/// The thread of a mirror.
#[derive(Default)]
pub struct MirrorTasks {
    thread: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    /// Says that a full walk is due now.
    walk_now: Notify,
}

impl MirrorTasks {
    /// Notes that the thread was started, and what stops it when it is dropped.
    pub fn started(&self, stop: oneshot::Sender<()>, thread: JoinHandle<()>) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some((stop, thread));
    }

    /// Ends the thread. Blocks.
    pub fn stop(&self) {
        if let Some((stop, thread)) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the mirror's thread panicked");
            }
        }
    }

    /// Begins a full walk as soon as none is under way.
    pub fn walk_now(&self) {
        self.walk_now.notify_one();
    }

    /// Waits until somebody has asked for a full walk.
    pub async fn full_walk_asked_for(&self) {
        self.walk_now.notified().await;
    }
}
