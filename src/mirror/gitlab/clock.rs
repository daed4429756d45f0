//! The time of the mirror, which tests replace.

use std::pin::Pin;
use std::time::Duration;

use crate::model::clock;
use crate::model::time::{BootTime, Time};

/// A future that ends at some time.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Tells the time, and waits.
pub trait Clock: Send + Sync + 'static {
    /// Returns the time since boot.
    fn boot_time(&self) -> BootTime;
    /// Returns the wall-clock time.
    fn wall_time(&self) -> Time;
    /// Waits until a time since boot, not at all if it is over.
    fn sleep_until(&self, until: BootTime) -> Sleep<'_>;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot_time(&self) -> BootTime {
        clock::boot_time()
    }

    fn wall_time(&self) -> Time {
        clock::wall_time()
    }

    fn sleep_until(&self, until: BootTime) -> Sleep<'_> {
        Box::pin(async move {
            loop {
                let left = until.since(self.boot_time());
                if left == Duration::ZERO {
                    return;
                }
                tokio::time::sleep(left).await;
            }
        })
    }
}
