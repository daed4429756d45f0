//! `POST /-/admin/resync`: a whole snapshot is taken again, beside what serves.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;

/// Begins it, and answers at once; 409 on a host that follows no feed, which has nothing to load.
pub async fn handle(state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    if !state.config.follows_feed && state.mirror.is_none() {
        let text = "this host follows no feed, so there is no snapshot to load; `sidegate invalidate all` removes what it keeps";
        return Err(ApiError::conflict(text));
    }
    (state.config.replica_control.resync)();
    let text = "a whole snapshot is being loaded beside the present copy, which goes on answering; `sidegate status` shows how far it is";
    Ok(Response::message(StatusCode::ACCEPTED, text))
}
