//! Looks once a second whether the store can be written, says so when that changes, and finishes what a full disk kept from being done at
//! the start.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::api::request::RequestTime;
use crate::net::notify;
use crate::primary::metrics::PrimaryMetrics;
use crate::primary::start_repairs::StartRepairs;
use crate::primary::store_health::{StallClock, StoreHealth, StoreObservation};
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// How often the store is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many times a little is allocated, too: a quota shows only then.
const LOOKS_PER_PROBE: u32 = 10;
/// After so long without progress, and again after twice as long, a hanging write is woken.
const FIRST_WAKE_AFTER: Duration = Duration::from_secs(2);

/// The thread that looks. Dropping it ends the thread, unless the disk hangs.
pub struct StoreWatch {
    health: watch::Receiver<StoreHealth>,
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl StoreWatch {
    /// Looks once, and then goes on looking on a thread of its own.
    pub fn start(store: PrimaryStore, metrics: Arc<PrimaryMetrics>, repairs: StartRepairs) -> std::io::Result<Self> {
        let (sender, health) = watch::channel(StoreHealth::Writable);
        let mut look = Look { store, metrics, repairs, sender, stalls: StallClock::default(), looks: 0, next_wake: FIRST_WAKE_AFTER };
        look.look();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store-watch".to_owned()).spawn(move || look.run(&stopped))?;
        Ok(Self { health, thread: Some((stop, thread)) })
    }

    /// Returns whether the store can be written.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.health.borrow().clone()
    }

    /// Waits until the store has failed, and returns why.
    pub async fn failed(&self) -> String {
        let mut health = self.health.clone();
        let failed = health.wait_for(|health| matches!(health, StoreHealth::Failed { .. })).await;
        match failed.as_deref() {
            Ok(StoreHealth::Failed { reason }) => reason.clone(),
            // The thread has ended with the primary.
            Ok(_) | Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for StoreWatch {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that watches the store panicked");
            }
        }
    }
}

struct Look {
    store: PrimaryStore,
    metrics: Arc<PrimaryMetrics>,
    repairs: StartRepairs,
    sender: watch::Sender<StoreHealth>,
    stalls: StallClock,
    looks: u32,
    next_wake: Duration,
}

impl Look {
    fn run(mut self, stopped: &mpsc::Receiver<()>) {
        while matches!(stopped.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout)) {
            self.look();
        }
    }

    fn look(&mut self) {
        let now = RequestTime::now();
        let before = self.sender.borrow().clone();
        let probe = before != StoreHealth::Writable || self.looks.is_multiple_of(LOOKS_PER_PROBE);
        self.looks = self.looks.wrapping_add(1);
        let stalled = self.stalls.observe(&self.store.write_progress(), now.boot);
        self.wake_hanging_write(stalled);
        let text = |StoreError(reason): StoreError| reason;
        let seen =
            StoreObservation { failure: self.store.failure().map(text), no_room: self.store.check_room(probe).err().map(text), stalled };
        let health = before.after(seen, now.wall);
        if health == StoreHealth::Writable {
            self.repairs.complete(&self.store);
        }
        if health != before {
            self.report(&before, &health);
            self.sender.send_replace(health);
        }
    }

    /// Says once what has changed.
    fn report(&self, before: &StoreHealth, health: &StoreHealth) {
        match health.message() {
            Some(message) if health.alarm() != before.alarm() => {
                health.alarm().into_iter().for_each(|reason| self.metrics.record_alarm(reason));
                notify::status(&message);
                tracing::error!("{message}");
            }
            Some(_) => {}
            None => {
                notify::status("the store can be written");
                tracing::info!("the primary's store can be written again");
            }
        }
    }

    /// Calls into sled on a thread of its own, because the call may hang too.
    fn wake_hanging_write(&mut self, stalled: Duration) {
        if stalled < FIRST_WAKE_AFTER {
            self.next_wake = FIRST_WAKE_AFTER;
        } else if stalled >= self.next_wake {
            self.next_wake *= 2;
            let store = self.store.clone();
            let woken = std::thread::Builder::new().name("store-wake".to_owned()).spawn(move || store.wake_hanging_writes());
            if let Err(error) = woken {
                tracing::warn!(%error, "a thread that wakes a hanging write could not be started: {error}");
            }
        }
    }
}
