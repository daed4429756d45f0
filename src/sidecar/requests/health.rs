//! `GET /-/liveness` and `/-/readiness`: for who watches the process.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::freshness::{Freshness, FreshnessClass};
use crate::model::kept_answer::KeptKind;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;

const OK_BODY: &str = r#"{"status":"ok"}"#;

/// Answers that the process runs.
pub async fn liveness(_state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    Ok(Response::json(StatusCode::OK, OK_BODY))
}

/// Answers whether keys can be answered for: from the local directory, or because the primary answers.
pub async fn readiness(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let reading = state.config.replica.read();
    let limits = state.config.freshness_policy.limits_for(FreshnessClass::Keys);
    let keeps_keys = state.kept.as_ref().is_some_and(|kept| kept.answers.serves(KeptKind::AuthorizedKeys, request.time.boot));
    let follows = reading.view.is_some() && reading.freshness(limits, request.time.boot) != Freshness::Expired;
    if follows || keeps_keys || state.upstream.channel().failing_since().is_none() {
        return Ok(Response::json(StatusCode::OK, OK_BODY));
    }
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "no usable local data, and the primary is unreachable"))
}
