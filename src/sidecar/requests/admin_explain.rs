//! `GET /-/admin/explain?key=|fingerprint=|key_id=|username=&project=&action=&protocol=&check_ip=`: what this host answers to one question at
//! this moment, who decides it and why, from which facts of what age, and what would have to change for a yes.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::sidecar::explain::question::ExplainQuestion;
use crate::sidecar::explain::steps::explain;
use crate::sidecar::state::SidecarState;

/// Answers with the explanation.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let question = ExplainQuestion::parse(&request.params)?;
    let explanation = explain(state, question, request.time).await;
    let body = serde_json::to_string(&explanation).map_err(ApiError::internal)?;
    Ok(Response::json(StatusCode::OK, body))
}
