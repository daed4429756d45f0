//! `POST /-/admin/new-epoch`: after a restore from a backup, every host takes the directory anew.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;

/// Begins it.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let store = state.store.clone();
    let head = run_blocking(move || store.start_new_epoch()).await?;
    tracing::warn!(epoch = %head.epoch, seq = head.seq, "the operator began a new epoch");
    Ok(Response::json(
        StatusCode::OK,
        json!({"message": format!("epoch {} begins at seq {}; every host takes a snapshot", head.epoch, head.seq), "head": head})
            .to_string(),
    ))
}
