//! Does something again and again from a few threads, as fast as they can or at a rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many threads do something, and how often all of them together.
pub struct Paced {
    pub threads: u64,
    /// `None` for as fast as they can.
    pub interval: Option<Duration>,
}

impl Paced {
    pub const fn at_once(threads: u64) -> Self {
        Self { threads, interval: None }
    }

    pub const fn per_second(threads: u64, rate: u32) -> Self {
        Self { threads, interval: Some(Duration::from_nanos(1_000_000_000 / rate as u64)) }
    }

    /// Calls `act` with 0, 1, 2 and so on, each when it is due, until it returns `false`.
    pub fn run(&self, act: impl Fn(u64) -> bool + Sync) {
        let (next, begun) = (AtomicU64::new(0), Instant::now());
        thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::SeqCst);
                        wait_until(begun + self.interval.unwrap_or_default() * u32::try_from(number).unwrap());
                        if !act(number) {
                            return;
                        }
                    }
                });
            }
        });
    }
}

fn wait_until(moment: Instant) {
    while let Some(left) = moment.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
