//! What is counted of questions that a held yes did not wait for.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// The counters.
#[derive(Default)]
pub struct HedgeMetrics {
    /// Held yeses that were given while their question was still under way.
    pub hedged: Counter,
    /// Noes that came after that.
    pub late_denials: Counter,
}

impl HedgeMetrics {
    /// Creates the counters and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("sidegate_hedged_answers", "Local yeses given while the primary was slow to answer", metrics.hedged.clone());
        registry.register("sidegate_late_denials", "Noes of the primary that came after that", metrics.late_denials.clone());
        metrics
    }
}
