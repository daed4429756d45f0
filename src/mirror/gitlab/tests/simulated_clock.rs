//! A clock that stands still until all tasks wait, and then goes on to the first of them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::mirror::gitlab::clock::{Clock, Sleep};
use crate::model::time::{BootTime, Time};

/// How often all other tasks get their turn before they are taken to wait.
const ROUNDS: usize = 16;
/// When the simulation begins.
pub const START: BootTime = BootTime(Duration::from_secs(1_000));

/// Simulated time, for a runtime of one thread.
pub struct SimulatedClock(Mutex<State>);

struct State {
    now: BootTime,
    sleepers: BTreeMap<(BootTime, u64), oneshot::Sender<()>>,
    slept: u64,
}

impl SimulatedClock {
    pub fn new() -> Self {
        Self(Mutex::new(State { now: START, sleepers: BTreeMap::new(), slept: 0 }))
    }

    /// Runs a future to its end. Time goes on when nothing else does.
    pub async fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            tokio::select! {
                biased;
                output = &mut future => return output,
                () = settle() => self.advance(),
            }
        }
    }

    /// Goes on to the time of the first sleeper, and wakes all of that time.
    fn advance(&self) {
        let mut state = self.0.lock().unwrap();
        let Some((time, _)) = state.sleepers.first_key_value().map(|(place, _)| *place) else { return };
        state.now = state.now.max(time);
        while let Some(sleeper) = state.sleepers.first_entry().filter(|sleeper| sleeper.key().0 <= time) {
            let _ = sleeper.remove().send(());
        }
    }
}

impl Clock for SimulatedClock {
    fn boot_time(&self) -> BootTime {
        self.0.lock().unwrap().now
    }

    fn wall_time(&self) -> Time {
        Time::EPOCH.plus(Duration::from_secs(1_700_000_000) + self.boot_time().0)
    }

    fn sleep_until(&self, until: BootTime) -> Sleep<'_> {
        let mut state = self.0.lock().unwrap();
        if until <= state.now {
            return Box::pin(std::future::ready(()));
        }
        let (waker, woken) = oneshot::channel();
        state.slept += 1;
        let place = (until, state.slept);
        state.sleepers.insert(place, waker);
        Box::pin(async move {
            let _ = woken.await;
        })
    }
}

async fn settle() {
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
}
