//! `GET internal/check`: does the application work, and which versions? The last ones are given while it does not. (server.md 2.5)
//!
//! `redis` means then that this host answers reads by itself: health checks run `gitlab-shell-check`, and a `false` would take every SSH host
//! out of service in the outage that it is here for.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::response_headers::mark_forwarded;
use crate::model::freshness::FreshnessClass;
use crate::model::kept_answer::KeptKind;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::UpstreamQuery;

/// Asks the primary, and keeps its versions.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    if let Some(name) = request.params.first_unknown(&[]) {
        return Err(ApiError::unknown_parameter(name));
    }
    let query = UpstreamQuery::get(QueryKind::Check, "/api/v4/internal/check".to_owned()).asked_for(&request.id);
    Ok(match state.upstream.query(query, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => {
            if state.version_cache.store(&decision.body, request.time) {
                let state = Arc::clone(state);
                spawn_blocking(move || state.version_cache.save());
            }
            mark_forwarded(Response::json(decision.status, decision.body))
        }
        QueryOutcome::Failed(error) => {
            if state.kept.as_ref().is_some_and(|kept| kept.shadow.is_some()) {
                return Ok(error.query_response(RequestSubject::Other));
            }
            let now = RequestTime::now();
            let serves = match &state.kept {
                Some(kept) => kept.answers.serves(KeptKind::Pull, now.boot),
                None => state.current_view(FreshnessClass::Reads, now).view_for_authorization().is_some(),
            };
            state.version_cache.degraded_response(now, serves).unwrap_or_else(|| error.query_response(RequestSubject::Other))
        }
    })
}
