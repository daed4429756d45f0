//! Looks once a second whether the store can be written, says so when that changes, and has finished what a full disk cut off. Whatever may
//! wait for the disk is done on a thread of its own, so that a disk that hangs is seen and said.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::api::request::RequestTime;
use crate::model::time::BootTime;
use crate::net::notify;
use crate::primary::bounded_call::{BoundedCall, CallOutcome};
use crate::primary::metrics::PrimaryMetrics;
use crate::primary::start_repairs::StartRepairs;
use crate::primary::store_health::{RoomCheck, StallClock, StoreHealth, StoreObservation};
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// How often the store is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many times a little is allocated, too: a quota shows only then.
const LOOKS_PER_PROBE: u32 = 10;
/// How long a look waits for the disk. A disk that takes longer is asked for again at the next look, and nothing more is asked of it.
const ANSWER_WAIT: Duration = Duration::from_millis(500);
/// After so long without progress, and again after twice as long, a hanging write is woken.
const FIRST_WAKE_AFTER: Duration = Duration::from_secs(2);

/// The thread that looks. Dropping it ends the thread.
pub struct StoreWatch {
    health: watch::Receiver<StoreHealth>,
    thread: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl StoreWatch {
    /// Looks once, and then goes on looking on a thread of its own.
    pub fn start(store: PrimaryStore, metrics: Arc<PrimaryMetrics>, repairs: StartRepairs) -> std::io::Result<Self> {
        let (sender, health) = watch::channel(StoreHealth::Writable);
        let (stalls, next_wake) = (StallClock::default(), FIRST_WAKE_AFTER);
        let mut look = Look { store, metrics, repairs, sender, stalls, question: None, looks: 0, next_wake };
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
    /// What the disk was asked and has not answered.
    question: Option<BoundedCall<Result<(), StoreError>>>,
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
        let room = self.ask_for_room(probe, now.boot);
        let health = before.after(StoreObservation { failure: self.store.failure(), room, stalled }, now.wall);
        if health == StoreHealth::Writable {
            self.repairs.try_again(now.boot);
        }
        if health != before {
            self.report(&before, &health);
            self.sender.send_replace(health);
        }
    }

    /// Asks whether there is room, unless an earlier question is not answered yet.
    fn ask_for_room(&mut self, probe: bool, now: BootTime) -> RoomCheck {
        if self.question.is_none() {
            let store = self.store.clone();
            match BoundedCall::begin("store-probe", now, move || store.look_for_room(probe)) {
                Ok(question) => self.question = Some(question),
                Err(error) => {
                    tracing::warn!(%error, "a thread that looks for room on the primary's disk could not be started: {error}");
                    return RoomCheck::Pending(Duration::ZERO);
                }
            }
        }
        let Some(question) = &self.question else { return RoomCheck::Pending(Duration::ZERO) };
        let (answer, begun) = (question.wait(ANSWER_WAIT), question.begun());
        if matches!(answer, CallOutcome::Pending) {
            return RoomCheck::Pending(now.since(begun));
        }
        self.question = None;
        match answer {
            CallOutcome::Returned(Err(refusal)) => RoomCheck::Refused(refusal),
            CallOutcome::Returned(Ok(())) | CallOutcome::Pending | CallOutcome::Panicked => RoomCheck::Found,
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
