//! What is counted of questions that a held yes did not wait for.

use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::model::time::Time;

/// The counters.
#[derive(Default)]
pub struct HedgeMetrics {
    /// Held yeses that were given while their question was still under way.
    pub hedged: Counter,
    /// Noes that came after that.
    pub late_denials: Counter,
    /// When the last held yes was given so, in milliseconds since 1970; 0 before the first.
    last_hedged: AtomicI64,
}

impl HedgeMetrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("sidegate_hedged_answers", "Local yeses given while the primary was slow to answer", metrics.hedged.clone());
        registry.register("sidegate_late_denials", "Noes of the primary that came after that", metrics.late_denials.clone());
        metrics
    }

    /// Counts a held yes that is given while its question is under way.
    pub fn count_hedged(&self, now: Time) {
        self.hedged.inc();
        self.last_hedged.store(now.milliseconds(), Ordering::Relaxed);
    }

    /// Returns when the last held yes was given so; `None` before the first.
    pub fn last_hedged(&self) -> Option<Time> {
        Time::from_milliseconds(self.last_hedged.load(Ordering::Relaxed)).filter(|time| *time > Time::EPOCH)
    }
}
