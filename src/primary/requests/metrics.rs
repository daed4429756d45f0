//! `GET /-/metrics`, and what is brought up to date when somebody reads the metrics.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use crate::api::error::HandlerResult;
use crate::api::metrics_endpoint::{self, MetricsSource};
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::standing_alarm::SOCKET_LOST;
use crate::primary::alarm_kinds::{HOSTS_MISSING, INVALID_RECORDS, SHARED_HOST_NAME, SHARED_REPOSITORIES};
use crate::primary::directory::revocations;
use crate::primary::metrics::GaugeValues;
use crate::primary::state::PrimaryState;
use crate::primary::store_health::StoreHealth;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    metrics_endpoint::respond(state, &request.headers).await
}

impl MetricsSource for PrimaryState {
    async fn refreshed_metrics(self: &Arc<Self>) -> &Registry {
        refresh(self, RequestTime::now()).await;
        &self.registry
    }
}

/// Sets the gauges to what they are at `time`.
async fn refresh(state: &PrimaryState, time: RequestTime) {
    let store = state.store.clone();
    // A store that cannot be read, or whose disk hangs, leaves its gauges as they were; the other figures are still wanted.
    let figures = state.figures.read("metrics", move || store_figures(&store)).await.ok().flatten().unwrap_or_default();
    let health = state.store_health();
    let head = state.store.head();
    let hosts = state.hosts.list(time.boot);
    let missing_until = state.missing_hosts.current(time).map(|period| period.until);
    let mut values = GaugeValues {
        seq: head.seq,
        records: head.state.count,
        followers: state.hosts.open_streams(),
        hosts: hosts.len(),
        hosts_away: hosts.iter().filter(|host| !host.is_connected() && !host.has_lapsed()).count(),
        hosts_pending: state.propagation_monitor().overdue_hosts(&hosts, &head, time.wall).len(),
        hosts_missing_seconds: missing_until.map_or(0, |until| until.since(time.wall).as_secs()),
        store_writable: health == StoreHealth::Writable,
        store_unwritable_seconds: health.since().map_or(0, |since| time.wall.since(since).as_secs()),
        store_bytes: figures["store_bytes"].as_u64(),
        usage_dropped: state.last_used.dropped(),
        shared_repositories: state.store.directory().shared_repositories().count(),
        invalid_records: state.store.directory().invalid_records().map(|invalid| invalid.count()),
        revocations: figures["revocations"].as_u64(),
        revocations_waiting: state.hosts.waiting(),
        alarms: health.alarm().into_iter().collect(),
    };
    let standing = [
        (SHARED_HOST_NAME, hosts.iter().any(|host| host.shares_name)),
        (HOSTS_MISSING, missing_until.is_some()),
        (SHARED_REPOSITORIES, values.shared_repositories > 0),
        (INVALID_RECORDS, values.invalid_records.is_some_and(|count| count > 0)),
        (SOCKET_LOST, !state.server_counters.sockets.lost().is_empty()),
    ];
    values.alarms.extend(standing.into_iter().filter(|(_, stands)| *stands).map(|(kind, _)| kind));
    state.metrics.update_gauges(&values);
}

/// Reads what waits for a write under way. Blocks.
fn store_figures(store: &PrimaryStore) -> Result<Value, StoreError> {
    let (keys, users) = revocations::count(store.private_store())?;
    Ok(json!({"revocations": keys + users, "store_bytes": store.directory().size_on_disk()}))
}
