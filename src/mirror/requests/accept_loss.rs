//! `POST /-/admin/accept-loss`: what the loss guard holds back may go, and hosts take a snapshot without it. A full walk begins, which finds
//! what is to go.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::mirror::config::DAEMON;
use crate::mirror::state::MirrorState;
use crate::primary::requests;

/// Accepts the loss, and walks.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    let response = requests::admin_accept_loss::handle(&state.publisher, request).await.map_err(|error| error.with_store_of(DAEMON))?;
    state.tasks.walk_now();
    Ok(response)
}
