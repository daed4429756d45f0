//! What an operator sees of the kept answers: in `status`, and as gauges computed when they are scraped, so that both always agree.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Map, Value, json};

use crate::model::clock;
use crate::model::freshness::whole_seconds;
use crate::model::kept_answer::KeptKind;
use crate::model::time::BootTime;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::metrics::{EvictionReason, LookupOutcome};

/// Returns the status of the kept answers as one object.
#[must_use]
pub fn kept_status(kept: &KeptAnswers, now: BootTime) -> Value {
    let (mut status, questions) = kept.with_index(|index, negatives| {
        let oldest = index.oldest().map(|place| place.answer.proven_at.age(now).as_secs_f64());
        let status = json!({
            "answers": index.len(),
            "most_answers": index.bounds().answers,
            "bytes": index.bytes(),
            "most_bytes": index.bounds().bytes,
            "oldest_seconds": oldest,
            "unknown_keys": negatives,
            "warmed": index.warmed(),
        });
        let count = |kind: KeptKind| (kind.as_str().to_owned(), question_status(kept, kind, index.count(kind)));
        (status, KeptKind::ALL.map(count))
    });
    let evictions = EvictionReason::ALL.map(|reason| (reason.as_str().to_owned(), json!(kept.metrics.evictions(reason))));
    status["questions"] = Value::Object(Map::from_iter(questions));
    status["evictions"] = Value::Object(Map::from_iter(evictions));
    status["refreshes"] = json!(kept.metrics.refreshes.get());
    status["overtaken"] = json!(kept.metrics.overtaken.get());
    status["mass_negative"] = guard_status(kept, now);
    status["store"] = serde_json::to_value(kept.store().status()).unwrap_or_default();
    status
}

fn guard_status(kept: &KeptAnswers, now: BootTime) -> Value {
    let guard = kept.guard_status(now);
    json!({
        "at_least": guard.config.at_least,
        "share": guard.config.share,
        "hold_seconds": whole_seconds(guard.config.hold),
        "asked": guard.counts.asked,
        "unknown": guard.counts.unknown,
        "since": guard.hold.map(|(hold, _)| hold.since.wall.to_string()),
        "ends_in_seconds": guard.hold.map(|(_, remaining)| remaining.as_secs()),
        "asked_at_start": guard.hold.map(|(hold, _)| hold.counts.asked),
        "unknown_at_start": guard.hold.map(|(hold, _)| hold.counts.unknown),
        "keys": guard.hold.map_or(0, |_| guard.unknown_keys),
        "remembered": guard.answers,
        "holds": kept.metrics.holds.get(),
        "given": kept.metrics.given_back.get(),
    })
}

fn question_status(kept: &KeptAnswers, kind: KeptKind, answers: usize) -> Value {
    let lookups = |outcome| kept.metrics.lookups(kind, outcome);
    let [fresh, stale, unknown, asked] =
        [LookupOutcome::Fresh, LookupOutcome::Stale, LookupOutcome::Unknown, LookupOutcome::Asked].map(lookups);
    let all = fresh + stale + unknown + asked;
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    let hit_rate = (all > 0).then(|| (all - asked) as f64 / all as f64);
    json!({"answers": answers, "fresh": fresh, "stale": stale, "unknown": unknown, "asked": asked, "hit_rate": hit_rate})
}

/// The collector of the gauges; holds nothing of its own.
pub struct KeptGauges(pub Arc<KeptAnswers>);

impl fmt::Debug for KeptGauges {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("KeptGauges")
    }
}

impl Collector for KeptGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = clock::boot_time();
        let store = self.0.store().status();
        let (answers, bytes, oldest, unknown, warmed) = self.0.with_index(|index, negatives| {
            let oldest = index.oldest().map_or(0.0, |place| place.answer.proven_at.age(now).as_secs_f64());
            (index.len(), index.bytes(), oldest, negatives, index.warmed())
        });
        let guard = self.0.guard_status(now);
        let keys_let_in = guard.hold.map_or(0, |_| guard.unknown_keys);
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("sidegate_kept_answers", "Answers of the primary that are kept", number(answers))?;
        gauge("sidegate_kept_bytes", "Bytes that they take, as they are counted", number(bytes))?;
        gauge("sidegate_kept_oldest_seconds", "The age of the oldest of them", oldest)?;
        gauge("sidegate_kept_unknown_keys", "Keys that the primary did not know a moment ago", number(unknown))?;
        gauge(
            "sidegate_mass_negative_holding",
            "Whether keys that the primary does not know are let in because it does not know most; in shadow mode, whether they would be",
            f64::from(u8::from(guard.hold.is_some())),
        )?;
        gauge("sidegate_mass_negative_keys", "How many such keys there are, let in or, in shadow mode, refused", number(keys_let_in))?;
        gauge("sidegate_kept_warmed_answers", "Kept answers that came from a file and not from the primary", number(warmed))?;
        gauge("sidegate_kept_store_pending", "Writes of kept answers that wait", number(store.pending))?;
        let lag = std::time::Duration::from_millis(store.lag_milliseconds).as_secs_f64();
        gauge("sidegate_kept_store_lag_seconds", "For how long the oldest of them has waited", lag)?;
        gauge("sidegate_kept_store_open", "Whether kept answers survive a restart", f64::from(u8::from(store.state == "open")))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
const fn number(count: usize) -> f64 {
    count as f64
}
