//! What the primary counts, as Prometheus reads it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::net::server::counters::ServerCounters;

/// Upper bounds of the buckets of latency, in seconds.
const LATENCY_BUCKETS: [f64; 12] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

/// The counters.
pub struct PrimaryMetrics {
    registry: Registry,
    responses: Family<ResponseLabels, Counter>,
    latency: Family<EndpointLabel, Histogram>,
    refused: Family<ReasonLabel, Counter>,
    /// Commits since the start.
    pub commits: Counter,
    /// Lines written to followers.
    pub feed_lines: Counter,
    /// Followers cut off because they read too slowly.
    pub stalled_followers: Counter,
    /// Times that a host was seen twice at once, or reported a directory that is not ours.
    pub alarms: Family<ReasonLabel, Counter>,
    gauges: Gauges,
    server_counters: Arc<ServerCounters>,
}

struct Gauges {
    head: Gauge,
    records: Gauge,
    followers: Gauge,
    store_bytes: Gauge,
    usage_dropped: Gauge,
    connections: Gauge,
    connections_open: Gauge,
    connections_refused: Gauge,
    accept_errors: Gauge,
    bad_requests: Gauge,
}

/// What is read when the metrics are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct GaugeValues {
    /// The number of the last commit.
    pub head: u64,
    /// Records of the directory.
    pub records: u64,
    /// Open feeds.
    pub followers: usize,
    /// Bytes on disk.
    pub store_bytes: u64,
    /// Notes of use that were dropped.
    pub usage_dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    endpoint: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabel {
    endpoint: &'static str,
}

/// Why, in one word.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// The word.
    pub reason: &'static str,
}

impl PrimaryMetrics {
    /// All at zero.
    #[must_use]
    pub fn new(counted: Arc<ServerCounters>) -> Self {
        let mut registry = Registry::with_prefix("sidegate_primary");
        let counters = Self {
            responses: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            refused: Family::default(),
            commits: Counter::default(),
            feed_lines: Counter::default(),
            stalled_followers: Counter::default(),
            alarms: Family::default(),
            gauges: Gauges::register(&mut registry),
            server_counters: counted,
            registry: Registry::default(),
        };
        registry.register("answers", "Answers by endpoint and status", counters.responses.clone());
        registry.register("latency_seconds", "Time from request to answer", counters.latency.clone());
        registry.register("refused", "Requests refused before their handler, by reason", counters.refused.clone());
        registry.register("commits", "Commits of the directory", counters.commits.clone());
        registry.register("feed_lines", "Lines written to followers", counters.feed_lines.clone());
        registry.register("feed_cut_off", "Followers cut off for reading too slowly", counters.stalled_followers.clone());
        registry.register("alarms", "What an operator should look at, by reason", counters.alarms.clone());
        Self { registry, ..counters }
    }

    /// Counts one answer.
    pub fn record_response(&self, endpoint: &'static str, status: u16, took: Duration) {
        self.responses.get_or_create(&ResponseLabels { endpoint, status: u32::from(status) }).inc();
        self.latency.get_or_create(&EndpointLabel { endpoint }).observe(took.as_secs_f64());
    }

    /// Counts one refusal.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts one alarm.
    pub fn record_alarm(&self, reason: &'static str) {
        self.alarms.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The text that Prometheus reads.
    pub fn encode_text(&self, reading: GaugeValues) -> Result<String, std::fmt::Error> {
        self.gauges.update(reading, &self.server_counters);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            head: gauge("head", "Number of the last commit"),
            records: gauge("records", "Records of the directory"),
            followers: gauge("followers", "Open feeds"),
            store_bytes: gauge("store_bytes", "Bytes of the store on disk"),
            usage_dropped: gauge("usage_dropped", "Notes of use that were dropped"),
            connections: gauge("connections", "Connections accepted since the start"),
            connections_open: gauge("connections_open", "Connections that are open"),
            connections_refused: gauge("connections_refused", "Connections refused because too many were open"),
            accept_errors: gauge("accept_errors", "Errors of accepting connections"),
            bad_requests: gauge("bad_requests", "Requests that could not be read"),
        }
    }

    fn update(&self, reading: GaugeValues, counted: &ServerCounters) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.head, reading.head);
        set(&self.records, reading.records);
        set(&self.followers, reading.followers as u64);
        set(&self.store_bytes, reading.store_bytes);
        set(&self.usage_dropped, reading.usage_dropped);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        set(&self.connections, count(&counted.connections));
        set(&self.connections_open, count(&counted.open_connections));
        set(&self.connections_refused, count(&counted.refused_connections));
        set(&self.accept_errors, count(&counted.accept_errors));
        set(&self.bad_requests, count(&counted.bad_requests));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{GaugeValues, PrimaryMetrics};

    #[test]
    fn what_was_counted_is_in_the_text() {
        let counters = PrimaryMetrics::new(Arc::default());
        counters.record_response("internal/check", 200, Duration::from_millis(1));
        counters.refused("expired");
        let text = counters.encode_text(GaugeValues { head: 7, ..GaugeValues::default() }).unwrap();
        assert!(text.contains(r#"sidegate_primary_answers_total{endpoint="internal/check",status="200"} 1"#), "{text}");
        assert!(text.contains(r#"sidegate_primary_refused_total{reason="expired"} 1"#), "{text}");
        assert!(text.contains("sidegate_primary_head 7"), "{text}");
    }
}
