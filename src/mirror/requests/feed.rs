//! The feed, as a primary publishes it: refused until the first full walk has ended, because what is not there yet would be denied.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::mirror::state::MirrorState;
use crate::primary::requests;

/// `GET internal/sidegate/changes`.
pub async fn changes(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    ensure_whole(state)?;
    requests::changes::handle(&state.publisher, request).await
}

/// `GET internal/sidegate/snapshot`.
pub async fn snapshot(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    ensure_whole(state)?;
    requests::snapshot::handle(&state.publisher, request).await
}

/// `POST internal/sidegate/ack`.
pub async fn ack(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    requests::ack::handle(&state.publisher, request).await
}

fn ensure_whole(state: &MirrorState) -> Result<(), ApiError> {
    if state.full_walk.has_ended_once() {
        return Ok(());
    }
    let users = state.full_walk.state().progress.map_or(0, |progress| progress.users);
    let message = format!("The mirror's first walk of GitLab is under way ({users} users so far); there is no feed before it has ended.");
    Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
}
