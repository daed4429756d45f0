//! `POST /-/admin/resync`: a whole snapshot is taken again, beside what serves.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;

/// Begins it, and answers at once.
pub async fn handle(state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    (state.config.replica_control.resync)();
    Ok(Response::message(StatusCode::ACCEPTED, "a whole snapshot is taken; what serves now goes on serving meanwhile"))
}
