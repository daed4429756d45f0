//! What a primary counts beside requests, and a mirror too, which publishes a directory as a primary does: commits, followers, alarms.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::api::alarm_metrics::AlarmMetrics;
use crate::api::standing_alarm::AlarmKind;
use crate::primary::alarm_kinds::{EVENTS, STANDING};

/// What becomes of a push that was to create a project.
const CREATIONS: [&str; 2] = ["created", "not_needed"];

/// The counters.
pub struct PrimaryMetrics {
    /// Commits since the start.
    pub commits: Counter,
    /// Lines written to followers.
    pub feed_lines: Counter,
    /// Followers cut off because they read too slowly.
    pub stalled_followers: Counter,
    /// The alarms, and how often each was raised.
    pub alarms: AlarmMetrics,
    /// Pushes that were to create a project, by outcome.
    pub creations: Family<CreationLabel, Counter>,
    gauges: Gauges,
}

struct Gauges {
    seq: Gauge,
    records: Gauge,
    followers: Gauge,
    hosts: Gauge,
    hosts_away: Gauge,
    hosts_pending: Gauge,
    hosts_missing_seconds: Gauge,
    store_bytes: Gauge,
    store_writable: Gauge,
    store_unwritable_seconds: Gauge,
    usage_dropped: Counter,
    shared_repositories: Gauge,
    invalid_records: Gauge,
    revocations: Gauge,
    revocations_waiting: Gauge,
}

/// The values of the gauges.
#[derive(Clone, Debug, Default)]
pub struct GaugeValues {
    /// The number of the last commit.
    pub seq: u64,
    /// The number of records.
    pub records: u64,
    /// The number of open feeds.
    pub followers: usize,
    /// The number of hosts that are known.
    pub hosts: usize,
    /// The number of these that are not connected and may still answer without the primary.
    pub hosts_away: usize,
    /// The number of these that may answer, have not confirmed the last commit, and have acknowledged nothing for a while.
    pub hosts_pending: usize,
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
    /// Operators who wait for a change to be in force everywhere.
    pub revocations_waiting: usize,
    /// The alarms that stand.
    pub alarms: Vec<AlarmKind>,
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
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            commits: Counter::default(),
            feed_lines: Counter::default(),
            stalled_followers: Counter::default(),
            alarms: AlarmMetrics::register(registry),
            creations: Family::default(),
            gauges: Gauges::register(registry),
        };
        metrics.alarms.show(STANDING.map(|kind| kind.name));
        metrics.alarms.show_events(EVENTS.map(|kind| kind.name));
        for outcome in CREATIONS {
            drop(metrics.creations.get_or_create(&CreationLabel { outcome }));
        }
        registry.register("sidegate_directory_commits", "Commits of the directory", metrics.commits.clone());
        registry.register("sidegate_follower_lines", "Lines written to followers", metrics.feed_lines.clone());
        registry.register("sidegate_followers_stalled", "Followers cut off for reading too slowly", metrics.stalled_followers.clone());
        registry.register(
            "sidegate_creations",
            "Pushes to a path without a project whose user may create it, by outcome",
            metrics.creations.clone(),
        );
        metrics
    }

    /// Counts one alarm.
    pub fn record_alarm(&self, kind: AlarmKind) {
        self.alarms.count(kind.name);
    }

    /// Counts one push that was to create a project.
    pub fn record_creation(&self, outcome: &'static str) {
        self.creations.get_or_create(&CreationLabel { outcome }).inc();
    }

    /// Sets the gauges to what they are now.
    pub fn update_gauges(&self, values: &GaugeValues) {
        for kind in STANDING {
            self.alarms.set_active(kind.name, values.alarms.contains(&kind));
        }
        self.gauges.update(values);
    }
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let usage_dropped = Counter::default();
        registry.register("sidegate_usage_dropped", "Notes of use that were dropped", usage_dropped.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            usage_dropped,
            seq: gauge("sidegate_directory_seq", "Number of the last commit"),
            records: gauge("sidegate_directory_records", "Records of the directory"),
            followers: gauge("sidegate_followers", "Open feeds"),
            hosts: gauge("sidegate_hosts", "Hosts that are known"),
            hosts_away: gauge("sidegate_hosts_away", "Hosts that are not connected and may still answer without the primary"),
            hosts_pending: gauge(
                "sidegate_hosts_pending",
                "Hosts that may answer, lack the last commit and have acknowledged nothing for 90 s",
            ),
            hosts_missing_seconds: gauge(
                "sidegate_hosts_missing_seconds",
                "Seconds for which hosts may still be missing from the known ones",
            ),
            store_bytes: gauge("sidegate_store_bytes", "Bytes of the store on disk; of a host, of the generation that serves"),
            store_writable: gauge(
                "sidegate_store_writable",
                "1 while the store can be written, 0 while its disk is full, read-only or hangs, or a write failed",
            ),
            store_unwritable_seconds: gauge(
                "sidegate_store_unwritable_seconds",
                "Seconds for which the store could not be written, 0 while it can",
            ),
            shared_repositories: gauge(
                "sidegate_store_shared_repositories",
                "Places of repositories that two records lead to; neither is answered",
            ),
            invalid_records: gauge("sidegate_store_invalid_records", "Records with a field that breaks its grammar; they answer nothing"),
            revocations: gauge("sidegate_revocations", "Revoked keys and blocked users that are held against directory files"),
            revocations_waiting: gauge(
                "sidegate_revocations_waiting",
                "Callers who wait for a revocation, or another change, to be in force everywhere",
            ),
        }
    }

    fn update(&self, values: &GaugeValues) {
        let set = |gauge: &Gauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        set(&self.seq, values.seq);
        set(&self.records, values.records);
        set(&self.followers, values.followers as u64);
        set(&self.hosts, values.hosts as u64);
        set(&self.hosts_away, values.hosts_away as u64);
        set(&self.hosts_pending, values.hosts_pending as u64);
        set(&self.hosts_missing_seconds, values.hosts_missing_seconds);
        set(&self.store_writable, u64::from(values.store_writable));
        set(&self.store_unwritable_seconds, values.store_unwritable_seconds);
        set(&self.shared_repositories, values.shared_repositories);
        set(&self.revocations_waiting, values.revocations_waiting as u64);
        self.usage_dropped.inc_by(values.usage_dropped.saturating_sub(self.usage_dropped.get()));
        let read = [
            (&self.store_bytes, values.store_bytes),
            (&self.invalid_records, values.invalid_records),
            (&self.revocations, values.revocations),
        ];
        for (gauge, value) in read {
            if let Some(value) = value {
                set(gauge, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{GaugeValues, PrimaryMetrics};
    use crate::primary::alarm_kinds::{DISK_FULL, SHARED_HOST_NAME};

    #[test]
    fn what_was_counted_is_in_the_text_and_what_was_not_is_there_at_zero() {
        let mut registry = Registry::default();
        let metrics = PrimaryMetrics::register(&mut registry);
        metrics.update_gauges(&GaugeValues { seq: 7, usage_dropped: 3, alarms: vec![DISK_FULL], ..GaugeValues::default() });
        metrics.update_gauges(&GaugeValues { seq: 7, usage_dropped: 5, alarms: vec![DISK_FULL], ..GaugeValues::default() });
        metrics.record_alarm(SHARED_HOST_NAME);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "sidegate_directory_seq 7",
            "sidegate_usage_dropped_total 5",
            r#"sidegate_alarms{kind="disk_full"} 1"#,
            r#"sidegate_alarms{kind="shared_host_name"} 0"#,
            r#"sidegate_alarms_raised_total{kind="shared_host_name"} 1"#,
            r#"sidegate_alarms_raised_total{kind="unknown_cursor"} 0"#,
            r#"sidegate_creations_total{outcome="created"} 0"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
