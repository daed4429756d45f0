//! What both daemons show of their sockets' files: the alarms in `status`, and the metrics.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::net::server::socket_alarms::SocketAlarms;

/// Gauges about the files of the sockets.
pub struct SocketMetrics {
    lost: Gauge,
    remade: Gauge,
}

impl SocketMetrics {
    /// Registers the gauges under `prefix`.
    pub fn register(prefix: &str, registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(format!("{prefix}{name}"), help, gauge.clone());
            gauge
        };
        Self {
            lost: gauge("sockets_lost", "Sockets whose file is missing or another's, so that no client finds them"),
            remade: gauge("sockets_remade", "How often the file of a socket was made again since the start"),
        }
    }

    /// Sets the gauges to what is so now.
    pub fn update(&self, alarms: &SocketAlarms) {
        self.lost.set(i64::try_from(alarms.lost().len()).unwrap_or(i64::MAX));
        self.remade.set(i64::try_from(alarms.remade()).unwrap_or(i64::MAX));
    }
}

/// Returns the part of `status` about the sockets: `{remade, lost: [{path, since, message}]}`.
#[must_use]
pub fn socket_status(alarms: &SocketAlarms) -> Value {
    let lost = alarms
        .lost()
        .into_iter()
        .map(|(path, lost)| json!({"path": path.display().to_string(), "since": lost.since.to_string(), "message": lost.message}));
    json!({"remade": alarms.remade(), "lost": lost.collect::<Vec<_>>()})
}
