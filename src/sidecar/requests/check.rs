//! `GET internal/check`: does the application work, and which versions? The last ones are given while it does not. (server.md 2.5)

use std::sync::Arc;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::api::response_headers::mark_forwarded;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;

/// Asks the primary, and keeps its versions.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    if let Some(name) = request.params.first_unknown(&[]) {
        return Err(ApiError::unknown_parameter(name));
    }
    let query = UpstreamQuery { kind: QueryKind::Check, target: "/api/v4/internal/check".to_owned(), body: None };
    Ok(match state.upstream.query(query, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => {
            state.version_cache.store(&decision.body, request.time);
            mark_forwarded(Response::json(decision.status, decision.body))
        }
        QueryOutcome::Failed(error) => state.version_cache.degraded_response(request.time).unwrap_or_else(|| error.query_response()),
    })
}
