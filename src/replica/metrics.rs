//! The replica's metrics, computed from the status when they are scraped, so that both always agree.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};

use crate::model::clock;
use crate::replica::state::replica_state::ReplicaState;
use crate::replica::state::status::{FeedRelation, ReplicaStatus};

/// The collector of a replica's metrics; holds nothing of its own.
pub struct ReplicaMetrics(pub Arc<ReplicaState>);

impl fmt::Debug for ReplicaMetrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ReplicaMetrics")
    }
}

impl Collector for ReplicaMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = self.0.status(clock::boot_time());
        encode_gauges(&status, &mut encoder)?;
        encode_counters(&status, &mut encoder)?;
        encode_record_counts(&status, &mut encoder)
    }
}

fn encode_gauges(status: &ReplicaStatus, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut gauge = |name: &str, help: &str, value: f64| {
        let metric = ConstGauge::new(value);
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
    };
    gauge("sidegate_feed_connected", "Whether the feed is connected", bool_to_f64(status.connected_since.is_some()))?;
    gauge("sidegate_feed_true", "Whether the store equals the primary at its cursor", bool_to_f64(status.following == FeedRelation::True))?;
    gauge("sidegate_feed_caught_up", "Whether the feed is caught up, or was when contact was lost", bool_to_f64(status.caught_up))?;
    gauge("sidegate_store_whole", "Whether a scan has found all records of the store intact", bool_to_f64(status.whole))?;
    let help = "Bytes of the store on disk; of a host, of the generation that serves";
    gauge("sidegate_store_bytes", help, u64_to_f64(status.store_bytes))?;
    gauge("sidegate_store_foreign_records", "Records that are not wholly understood", u64_to_f64(status.foreign))?;
    let help = "Places of repositories that two records lead to; neither is answered";
    gauge("sidegate_store_shared_repositories", help, u64_to_f64(status.shared_repositories))?;
    let unstored = status.unstored.map_or(0, |unstored| unstored.changes.max(1));
    gauge("sidegate_store_unstored_changes", "Changes that bind and that the store could not take", u64_to_f64(unstored))?;
    gauge(
        "sidegate_max_stale_confirmed_seconds",
        "The bound that the primary has on disk: nothing older is answered, whatever the configuration says",
        u64_to_f64(status.confirmed_max_stale_seconds),
    )?;
    if let Some(invalid) = status.invalid_records {
        let help = "Records with a field that breaks its grammar; they answer nothing";
        gauge("sidegate_store_invalid_records", help, u64_to_f64(invalid))?;
    }
    if let Some(lag) = status.lag {
        gauge("sidegate_feed_lag_commits", "Commits that the cursor is behind the primary's last line", u64_to_f64(lag))?;
    }
    if let Some(cursor) = status.cursor {
        gauge("sidegate_feed_seq", "The number of the last commit that was followed", u64_to_f64(cursor.seq))?;
    }
    Ok(())
}

fn encode_counters(status: &ReplicaStatus, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let counted = &status.counted;
    for (name, help, value) in [
        ("sidegate_feed_connects", "Connections of the feed", counted.connects),
        ("sidegate_feed_disconnects", "Connections of the feed that were lost", counted.disconnects),
        ("sidegate_feed_commits", "Commits that arrived", counted.commits),
        ("sidegate_feed_changes", "Changes of those commits", counted.changes),
        ("sidegate_feed_heartbeats", "Heartbeats that arrived", counted.heartbeats),
        ("sidegate_feed_drifts", "How often the sums differed", counted.drifts),
        ("sidegate_feed_snapshots_tried", "Snapshots that were begun", counted.snapshots_tried),
        ("sidegate_feed_resyncs", "Generations that took over", counted.resyncs),
        ("sidegate_store_quarantines", "Stores put into quarantine", counted.quarantines),
    ] {
        let metric = ConstCounter::new(value);
        metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
    }
    Ok(())
}

fn encode_record_counts(status: &ReplicaStatus, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    if status.counts.is_empty() {
        return Ok(());
    }
    let family = Family::<[(&'static str, String); 1], Gauge>::default();
    for (kind, count) in &status.counts {
        family.get_or_create(&[("kind", kind.clone())]).set(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    family.encode(encoder.encode_descriptor("sidegate_store_records", "Records of each kind", None, family.metric_type())?)
}

fn bool_to_f64(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[expect(clippy::cast_precision_loss, reason = "a gauge above 2^53 need not be exact")]
fn u64_to_f64(value: u64) -> f64 {
    value as f64
}
