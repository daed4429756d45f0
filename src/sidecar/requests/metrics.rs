//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::api::request_metrics::metrics_response;
use crate::sidecar::state::SidecarState;

/// Answers with all that is counted, of requests and of the replica.
pub async fn handle(state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    state.socket_metrics.update(&state.config.server_counters);
    metrics_response(&state.registry)
}
