//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::api::request_metrics::metrics_response;
use crate::primary::directory::revocations;
use crate::primary::metrics::GaugeValues;
use crate::primary::state::PrimaryState;
use crate::primary::store_health::StoreHealth;
use crate::store::error::StoreError;
use crate::store::primary::primary_store::PrimaryStore;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let store = state.store.clone();
    // A store that cannot be read, or whose disk hangs, leaves its gauges as they were; the other figures are still wanted.
    let figures = state.figures.read("metrics", move || store_figures(&store)).await.ok().flatten().unwrap_or_default();
    let health = state.store_health();
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
        store_writable: health == StoreHealth::Writable,
        store_unwritable_seconds: health.since().map_or(0, |since| request.time.wall.since(since).as_secs()),
        store_bytes: figures["store_bytes"].as_u64(),
        usage_dropped: state.last_used.dropped(),
        shared_repositories: state.store.directory().shared_repositories().count(),
        invalid_records: state.store.directory().invalid_records().map(|invalid| invalid.count()),
        revocations: figures["revocations"].as_u64(),
    });
    metrics_response(&state.registry)
}

/// Reads what waits for a write under way. Blocks.
fn store_figures(store: &PrimaryStore) -> Result<Value, StoreError> {
    let (keys, users) = revocations::count(store.private_store())?;
    Ok(json!({"revocations": keys + users, "store_bytes": store.directory().size_on_disk()}))
}
