//! What both daemons show of their sockets: the alarms about their files, and what was refused before a handler saw it; in `status` and in the
//! metrics.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};

use crate::net::server::counters::ServerCounters;
use crate::net::server::early_refusals::EarlyRefusal;

/// Gauges about the sockets.
pub struct SocketMetrics {
    lost: Gauge,
    remade: Gauge,
    refused: Family<Vec<(&'static str, &'static str)>, Gauge>,
}

impl SocketMetrics {
    /// Registers the gauges under `prefix`.
    pub fn register(prefix: &str, registry: &mut Registry) -> Self {
        let refused = Family::<Vec<(&str, &str)>, Gauge>::default();
        let help = "Connections and requests refused before they were routed, since the start, by reason";
        registry.register(format!("{prefix}early_refusals"), help, refused.clone());
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(format!("{prefix}{name}"), help, gauge.clone());
            gauge
        };
        Self {
            lost: gauge("sockets_lost", "Sockets whose file is missing or another's, so that no client finds them"),
            remade: gauge("sockets_remade", "How often the file of a socket was made again since the start"),
            refused,
        }
    }

    /// Sets the gauges to what is so now.
    pub fn update(&self, counters: &ServerCounters) {
        let alarms = &counters.sockets;
        for reason in EarlyRefusal::ALL {
            let count = counters.early_refusals.count(reason);
            self.refused.get_or_create(&vec![("reason", reason.as_str())]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.lost.set(i64::try_from(alarms.lost().len()).unwrap_or(i64::MAX));
        self.remade.set(i64::try_from(alarms.remade()).unwrap_or(i64::MAX));
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
