//! The alarms of any daemon as metrics: which are active now, and how often each was raised. All kinds are there from the start.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type KindLabel = [(&'static str, &'static str); 1];

/// The two metrics. `Clone` shares them.
#[derive(Clone, Default)]
pub struct AlarmMetrics {
    active: Family<KindLabel, Gauge>,
    raised: Family<KindLabel, Counter>,
}

impl AlarmMetrics {
    /// Registers both, without any kind.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("sidegate_alarms", "1 while an operator should look at something, by kind", metrics.active.clone());
        registry.register(
            "sidegate_alarms_raised",
            "How often an operator should have looked at something, by kind",
            metrics.raised.clone(),
        );
        metrics
    }

    /// Sets whether the alarm of a kind is active.
    pub fn set_active(&self, kind: &'static str, active: bool) {
        self.active.get_or_create(&[("kind", kind)]).set(i64::from(active));
    }

    /// Counts an alarm of a kind.
    pub fn count(&self, kind: &'static str) {
        self.raised.get_or_create(&[("kind", kind)]).inc();
    }

    /// Shows how often alarms of this kind were raised, as somebody else counts.
    pub fn set_raised(&self, kind: &'static str, total: u64) {
        let counter = self.raised.get_or_create(&[("kind", kind)]);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Shows kinds that have not been raised yet.
    pub fn show(&self, kinds: impl IntoIterator<Item = &'static str>) {
        for kind in kinds {
            self.set_active(kind, false);
            self.show_events([kind]);
        }
    }

    /// The same for kinds that are over as soon as they are raised: these are only counted.
    pub fn show_events(&self, kinds: impl IntoIterator<Item = &'static str>) {
        for kind in kinds {
            drop(self.raised.get_or_create(&[("kind", kind)]));
        }
    }
}
