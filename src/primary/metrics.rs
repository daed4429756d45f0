//! What the primary counts beside requests: commits, followers, alarms, connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::api::socket_health::SocketMetrics;
use crate::net::server::counters::ServerCounters;

/// The counters.
pub struct PrimaryMetrics {
    /// Commits since the start.
    pub commits: Counter,
    /// Lines written to followers.
    pub feed_lines: Counter,
    /// Followers cut off because they read too slowly.
    pub stalled_followers: Counter,
    /// Alarms: a store that cannot be written, hosts that share a name, a host that could not be stored, a cursor or an acknowledgement of a directory that this primary
    /// never had, repositories that two records lead to.
    pub alarms: Family<AlarmLabel, Counter>,
    /// Pushes that were to create a project, by outcome.
    pub creations: Family<CreationLabel, Counter>,
    gauges: Gauges,
    sockets: SocketMetrics,
    server_counters: Arc<ServerCounters>,
}

struct Gauges {
    head: Gauge,
    records: Gauge,
    followers: Gauge,
    hosts: Gauge,
    hosts_away: Gauge,
    hosts_missing_seconds: Gauge,
    store_bytes: Gauge,
    store_writable: Gauge,
    store_unwritable_seconds: Gauge,
    usage_dropped: Gauge,
    shared_repositories: Gauge,
    invalid_records: Gauge,
    revocations: Gauge,
    connections: Gauge,
    connections_open: Gauge,
    connections_refused: Gauge,
    accept_errors: Gauge,
    bad_requests: Gauge,
}

/// The values of the gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct GaugeValues {
    /// The number of the last commit.
    pub head: u64,
    /// The number of records.
    pub records: u64,
    /// The number of open feeds.
    pub followers: usize,
    /// The number of hosts that are known.
    pub hosts: usize,
    /// The number of these that are not connected and may still answer without the primary.
    pub hosts_away: usize,
    /// For how many seconds hosts may still be missing from these.
    pub hosts_missing_seconds: u64,
    /// Whether the store can be written.
    pub store_writable: bool,
    /// For how many seconds the store could not be written; 0 while it can.
    pub store_unwritable_seconds: u64,
    /// The bytes of the store on disk, if they could be read.
    pub store_bytes: Option<u64>,
    /// Uses that were dropped before they were persisted.
    pub usage_dropped: u64,
    /// Repositories that two records lead to.
    pub shared_repositories: u64,
    /// Records with a field that breaks its grammar, once they were counted.
    pub invalid_records: Option<u64>,
    /// Keys and users that were revoked and that no file brings back, if that could be read.
    pub revocations: Option<u64>,
}

/// Why there is an alarm, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlarmLabel {
    /// The reason.
    pub reason: &'static str,
}

/// What became of a push that was to create a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CreationLabel {
    /// `created`, `not_needed`, or why it was refused.
    pub outcome: &'static str,
}

impl PrimaryMetrics {
    /// Registers the counters, all at zero.
    #[must_use]
    pub fn register(registry: &mut Registry, server_counters: Arc<ServerCounters>) -> Self {
        let metrics = Self {
            commits: Counter::default(),
            feed_lines: Counter::default(),
            stalled_followers: Counter::default(),
            alarms: Family::default(),
            creations: Family::default(),
            gauges: Gauges::register(registry),
            sockets: SocketMetrics::register("", registry),
            server_counters,
        };
        registry.register("commits", "Commits of the directory", metrics.commits.clone());
        registry.register("feed_lines", "Lines written to followers", metrics.feed_lines.clone());
        registry.register("feed_cut_off", "Followers cut off for reading too slowly", metrics.stalled_followers.clone());
        registry.register("alarms", "What an operator should look at, by reason", metrics.alarms.clone());
        registry.register(
            "creations",
            "Pushes to a path without a project whose user may create it, by outcome",
            metrics.creations.clone(),
        );
        metrics
    }

    /// Counts one alarm.
    pub fn record_alarm(&self, reason: &'static str) {
        self.alarms.get_or_create(&AlarmLabel { reason }).inc();
    }

    /// Counts one push that was to create a project.
    pub fn record_creation(&self, outcome: &'static str) {
        self.creations.get_or_create(&CreationLabel { outcome }).inc();
    }

    /// Sets the gauges to what they are now.
    pub fn update_gauges(&self, values: GaugeValues) {
        self.gauges.update(values, &self.server_counters);
        self.sockets.update(&self.server_counters);
    }

    /// Returns what is counted about the sockets of this daemon.
    pub fn server_counters(&self) -> &ServerCounters {
        &self.server_counters
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
            hosts: gauge("hosts", "Hosts that are known"),
            hosts_away: gauge("hosts_away", "Hosts that are not connected and may still answer without the primary"),
            hosts_missing_seconds: gauge("hosts_missing_seconds", "Seconds for which hosts may still be missing from the known ones"),
            store_bytes: gauge("store_bytes", "Bytes of the store on disk"),
            store_writable: gauge(
                "store_writable",
                "1 while the store can be written, 0 while its disk is full, read-only or hangs, or a write failed",
            ),
            store_unwritable_seconds: gauge("store_unwritable_seconds", "Seconds for which the store could not be written, 0 while it can"),
            usage_dropped: gauge("usage_dropped", "Notes of use that were dropped"),
            shared_repositories: gauge("shared_repositories", "Places of repositories that two records lead to; neither is answered"),
            invalid_records: gauge("invalid_records", "Records with a field that breaks its grammar; they answer nothing"),
            revocations: gauge("revocations", "Revoked keys and blocked users that are held against directory files"),
            connections: gauge("connections", "Connections accepted since the start"),
            connections_open: gauge("connections_open", "Connections that are open"),
            connections_refused: gauge("connections_refused", "Connections refused because too many were open"),
            accept_errors: gauge("accept_errors", "Errors of accepting connections"),
            bad_requests: gauge("bad_requests", "Requests that could not be read"),
        }
    }

    fn update(&self, values: GaugeValues, counters: &ServerCounters) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.head, values.head);
        set(&self.records, values.records);
        set(&self.followers, values.followers as u64);
        set(&self.hosts, values.hosts as u64);
        set(&self.hosts_away, values.hosts_away as u64);
        set(&self.hosts_missing_seconds, values.hosts_missing_seconds);
        if let Some(bytes) = values.store_bytes {
            set(&self.store_bytes, bytes);
        }
        set(&self.store_writable, u64::from(values.store_writable));
        set(&self.store_unwritable_seconds, values.store_unwritable_seconds);
        set(&self.usage_dropped, values.usage_dropped);
        set(&self.shared_repositories, values.shared_repositories);
        if let Some(invalid) = values.invalid_records {
            set(&self.invalid_records, invalid);
        }
        if let Some(revocations) = values.revocations {
            set(&self.revocations, revocations);
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        set(&self.connections, count(&counters.connections));
        set(&self.connections_open, count(&counters.open_connections));
        set(&self.connections_refused, count(&counters.refused_connections));
        set(&self.accept_errors, count(&counters.accept_errors));
        set(&self.bad_requests, count(&counters.bad_requests));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{GaugeValues, PrimaryMetrics};

    #[test]
    fn what_was_counted_is_in_the_text() {
        let mut registry = Registry::with_prefix("sidegate_primary");
        let metrics = PrimaryMetrics::register(&mut registry, Arc::default());
        metrics.update_gauges(GaugeValues { head: 7, ..GaugeValues::default() });
        metrics.record_alarm("shared_host_name");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("sidegate_primary_head 7"), "{text}");
        assert!(text.contains(r#"sidegate_primary_alarms_total{reason="shared_host_name"} 1"#), "{text}");
    }
}
