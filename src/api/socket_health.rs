//! What both daemons show of their sockets: the alarms about their files, and what was refused before a handler saw it; in `status` and in the
//! metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::net::server::counters::ServerCounters;
use crate::net::server::early_refusals::EarlyRefusal;

/// The collector of what is counted of the sockets and their connections.
pub struct SocketMetrics(Arc<ServerCounters>);

impl SocketMetrics {
    /// Registers what these counters say.
    pub fn register(counters: Arc<ServerCounters>, registry: &mut Registry) {
        registry.register_collector(Box::new(Self(counters)));
    }
}

impl fmt::Debug for SocketMetrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SocketMetrics")
    }
}

impl Collector for SocketMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = &self.0;
        let mut counter = |name: &str, help: &str, value: u64| {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        counter("sidegate_connections", "Connections accepted since the start", count(&counters.connections))?;
        let help = "Connections refused because too many were open";
        counter("sidegate_connections_refused", help, count(&counters.refused_connections))?;
        counter("sidegate_accept_errors", "Errors of accepting connections", count(&counters.accept_errors))?;
        counter("sidegate_bad_requests", "Requests that could not be read, answered 400", count(&counters.bad_requests))?;
        counter("sidegate_sockets_remade", "How often the file of a socket was made again", counters.sockets.remade())?;
        let mut gauge = |name: &str, help: &str, value: u64| {
            let metric = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("sidegate_connections_open", "Connections that are open", count(&counters.open_connections))?;
        let help = "Sockets whose file is missing or another's, so that no client finds them";
        gauge("sidegate_sockets_lost", help, counters.sockets.lost().len() as u64)?;
        let refused = Family::<[(&str, &str); 1], Counter>::default();
        for reason in EarlyRefusal::ALL {
            refused.get_or_create(&[("reason", reason.as_str())]).inc_by(counters.early_refusals.count(reason));
        }
        let help = "Connections and requests refused before they were routed, by reason";
        refused.encode(encoder.encode_descriptor("sidegate_early_refusals", help, None, refused.metric_type())?)
    }
}

/// Returns the part of `status` about the sockets: `{remade, lost: [{path, since, message}], connections_open, refused: {reason: count},
/// last_refused: {at, peer, reason}}`. Only reasons that occurred are named.
#[must_use]
pub fn socket_status(counters: &ServerCounters) -> Value {
    let (alarms, refusals) = (&counters.sockets, &counters.early_refusals);
    let refused = EarlyRefusal::ALL.into_iter().map(|reason| (reason.as_str().to_owned(), refusals.count(reason)));
    let refused: Map<String, Value> = refused.filter(|(_, count)| *count > 0).map(|(reason, count)| (reason, count.into())).collect();
    let last = refusals.last().map(|last| json!({"at": last.at.to_string(), "peer": last.peer, "reason": last.reason.as_str()}));
    let lost = alarms
        .lost()
        .into_iter()
        .map(|(path, lost)| json!({"path": path.display().to_string(), "since": lost.since.to_string(), "message": lost.message}));
    json!({
        "remade": alarms.remade(),
        "lost": lost.collect::<Vec<_>>(),
        "connections_open": counters.open_connections.load(Ordering::Relaxed),
        "refused": refused,
        "last_refused": last,
    })
}
