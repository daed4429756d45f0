//! What a sidecar shows beside requests: how old what it answers from is and may be, whether the primary answers, how many requests go to it,
//! and alarms. Set when somebody reads the metrics.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::api::alarm_metrics::AlarmMetrics;
use crate::model::freshness::{FreshnessClass, FreshnessLimits};
use crate::sidecar::alarm_kinds::OWN;

type ClassLabel = [(&'static str, &'static str); 1];
type SecondsGauge = Gauge<f64, AtomicU64>;

/// The metrics.
pub struct SidecarMetrics {
    age: Family<ClassLabel, SecondsGauge>,
    ttl: Family<ClassLabel, SecondsGauge>,
    max_stale: Family<ClassLabel, SecondsGauge>,
    breaker_state: Gauge,
    forwards_in_flight: Gauge,
    forwards_waiting: Gauge,
    usage_reported: Counter,
    usage_dropped: Counter,
    alarms: AlarmMetrics,
}

/// What is so now.
pub struct SidecarReading {
    /// Of each class: its bounds, and the age of its data, if it has one for all answers and was ever proven current.
    pub classes: [(FreshnessClass, FreshnessLimits, Option<Duration>); 3],
    /// Whether the primary was found not to answer.
    pub is_breaker_open: bool,
    /// Requests to the primary that are under way, and that wait for their turn.
    pub forwards: (usize, usize),
    /// Uses that were reported, and that were dropped before they were.
    pub usage: (u64, u64),
    /// Whether keys are let in that the primary does not know, because it does not know most.
    pub holds_mass_negative: bool,
    /// Whether what is kept is in memory only.
    pub keeps_in_memory_only: bool,
    /// Whether no client finds a socket.
    pub has_lost_socket: bool,
    /// The replica's alarms: the kind, whether it is active, how often it was raised.
    pub replica_alarms: Vec<(&'static str, bool, u64)>,
}

impl SidecarMetrics {
    /// Registers all.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            age: Family::default(),
            ttl: Family::default(),
            max_stale: Family::default(),
            breaker_state: Gauge::default(),
            forwards_in_flight: Gauge::default(),
            forwards_waiting: Gauge::default(),
            usage_reported: Counter::default(),
            usage_dropped: Counter::default(),
            alarms: AlarmMetrics::register(registry),
        };
        let help = "Seconds since the data of this class was last proven current; absent until it was, and where each answer has its own";
        registry.register("sidegate_age_seconds", help, metrics.age.clone());
        let help = "Up to this age an answer of this class is given without asking";
        registry.register("sidegate_ttl_seconds", help, metrics.ttl.clone());
        let help = "Up to this age an answer of this class is given while the primary fails";
        registry.register("sidegate_max_stale_seconds", help, metrics.max_stale.clone());
        let help = "1 while the circuit breaker is open, because the primary does not answer; 0 while it is closed";
        registry.register("sidegate_breaker_state", help, metrics.breaker_state.clone());
        registry.register("sidegate_forwards_in_flight", "Requests to the primary that are under way", metrics.forwards_in_flight.clone());
        registry.register("sidegate_forwards_waiting", "Requests that wait for their turn to be sent", metrics.forwards_waiting.clone());
        registry.register("sidegate_usage_reported", "Notes of use that were reported", metrics.usage_reported.clone());
        registry.register("sidegate_usage_dropped", "Notes of use that were dropped", metrics.usage_dropped.clone());
        metrics
    }

    /// Sets all to what is so now.
    pub fn update(&self, reading: &SidecarReading) {
        for (class, limits, age) in &reading.classes {
            let label = [("class", class.as_str())];
            self.ttl.get_or_create(&label).set(limits.ttl.as_secs_f64());
            self.max_stale.get_or_create(&label).set(limits.max_stale.as_secs_f64());
            if let Some(age) = age {
                self.age.get_or_create(&label).set(age.as_secs_f64());
            } else {
                self.age.remove(&label);
            }
        }
        self.breaker_state.set(i64::from(reading.is_breaker_open));
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.forwards_in_flight, reading.forwards.0);
        set(&self.forwards_waiting, reading.forwards.1);
        let raise = |counter: &Counter, total: u64| counter.inc_by(total.saturating_sub(counter.get()));
        raise(&self.usage_reported, reading.usage.0);
        raise(&self.usage_dropped, reading.usage.1);
        let own = [reading.holds_mass_negative, reading.keeps_in_memory_only, reading.has_lost_socket];
        for (kind, active) in OWN.into_iter().zip(own) {
            self.alarms.set_active(kind.name, active);
        }
        for (kind, active, raised) in &reading.replica_alarms {
            self.alarms.set_active(kind, *active);
            self.alarms.set_raised(kind, *raised);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text;
    use prometheus_client::registry::Registry;

    use super::{SidecarMetrics, SidecarReading};
    use crate::model::freshness::{FreshnessClass, FreshnessLimits};

    fn reading(age: Option<Duration>, is_breaker_open: bool) -> SidecarReading {
        let limits = FreshnessLimits { ttl: Duration::from_millis(1500), max_stale: Duration::from_secs(86_400) };
        SidecarReading {
            classes: [FreshnessClass::Keys, FreshnessClass::Reads, FreshnessClass::PushPrecheck]
                .map(|class| (class, limits, age.filter(|_| class == FreshnessClass::Keys))),
            is_breaker_open,
            forwards: (3, 2),
            usage: (7, 1),
            holds_mass_negative: false,
            keeps_in_memory_only: true,
            has_lost_socket: true,
            replica_alarms: vec![("drift", true, 2), ("damage", false, 0)],
        }
    }

    #[test]
    fn ages_breaker_forwards_and_alarms_are_shown_as_they_are() {
        let mut registry = Registry::default();
        let metrics = SidecarMetrics::register(&mut registry);
        let shown = |reading: &SidecarReading| {
            metrics.update(reading);
            let mut text = String::new();
            text::encode(&mut text, &registry).unwrap();
            text
        };
        shown(&reading(Some(Duration::from_millis(2500)), false));
        let first = shown(&reading(Some(Duration::from_millis(2500)), true));
        for line in [
            "sidegate_age_seconds{class=\"keys\"} 2.5",
            "sidegate_ttl_seconds{class=\"push_precheck\"} 1.5",
            "sidegate_max_stale_seconds{class=\"reads\"} 86400.0",
            "sidegate_breaker_state 1",
            "sidegate_forwards_in_flight 3",
            "sidegate_forwards_waiting 2",
            "sidegate_usage_reported_total 7",
            "sidegate_alarms{kind=\"drift\"} 1",
            "sidegate_alarms{kind=\"socket_lost\"} 1",
            "sidegate_alarms{kind=\"mass_negative\"} 0",
            "sidegate_alarms{kind=\"kept_store\"} 1",
            "sidegate_alarms_raised_total{kind=\"drift\"} 2",
            "sidegate_alarms_raised_total{kind=\"damage\"} 0",
        ] {
            assert!(first.lines().any(|shown| shown == line), "{line} in {first}");
        }
        assert!(!first.contains("sidegate_age_seconds{class=\"reads\"}"), "each of these has its own age: {first}");
        assert!(!shown(&reading(None, false)).contains("sidegate_age_seconds{"), "nothing is held any more");
    }
}
