//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::api::request_metrics::metrics_response;
use crate::primary::directory::revocations;
use crate::primary::metrics::GaugeValues;
use crate::primary::state::PrimaryState;
use crate::primary::store_health::StoreHealth;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let private_store = state.store.private_store().clone();
    // A private store that cannot be read leaves the gauge as it was; the other figures are still wanted.
    let revocations = run_blocking(move || revocations::count(&private_store)).await.ok().map(|(keys, users)| keys + users);
    let head = state.store.head();
    let hosts = state.hosts.list(request.time.boot);
    let missing_until = state.missing_hosts.current(request.time).map(|period| period.until);
    state.metrics.update_gauges(GaugeValues {
        head: head.seq,
        records: head.state.count,
        followers: state.hosts.open_streams(),
        hosts: hosts.len(),
        hosts_away: hosts.iter().filter(|host| !host.is_connected() && !host.has_lapsed()).count(),
        hosts_missing_seconds: missing_until.map_or(0, |until| until.since(request.time.wall).as_secs()),
        store_writable: state.store_health() == StoreHealth::Writable,
        store_bytes: state.store.directory().size_on_disk(),
        usage_dropped: state.last_used.dropped(),
        shared_repositories: state.store.directory().shared_repositories().count(),
        invalid_records: state.store.directory().invalid_records().map(|invalid| invalid.count()),
        revocations,
    });
    metrics_response(&state.registry)
}
