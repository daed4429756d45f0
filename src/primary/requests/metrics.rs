//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::api::request_metrics::metrics_response;
use crate::primary::metrics::GaugeValues;
use crate::primary::state::PrimaryState;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let head = state.store.head();
    state.metrics.update_gauges(GaugeValues {
        head: head.seq,
        records: head.state.count,
        followers: state.hosts.open_streams(),
        store_bytes: state.store.directory().size_on_disk(),
        usage_dropped: state.last_used.dropped(),
        shared_repositories: state.store.directory().shared_repositories().count(),
    });
    metrics_response(&state.registry)
}
