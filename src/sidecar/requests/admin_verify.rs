//! `POST /-/admin/verify`: is the store what the primary has?

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;

/// Adds the store up and compares it with the primary; 409 if that cannot be done.
pub async fn handle(state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    let report = (state.config.replica_control.verify)().await.map_err(ApiError::conflict)?;
    Ok(Response::json(StatusCode::OK, report.to_string()))
}
