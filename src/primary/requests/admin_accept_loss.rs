//! `POST /-/admin/accept-loss`: the operator accepts a loss once, for the whole fleet.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::replication::accepted_loss;
use crate::primary::state::PrimaryState;

/// Snapshots carry that from now on, for a while.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (private_store, now) = (state.store.private_store().clone(), request.time.wall);
    let until = run_blocking(move || accepted_loss::accept(&private_store, now)).await?;
    tracing::warn!(%until, "the operator accepted a loss until {until}");
    Ok(Response::json(
        StatusCode::OK,
        json!({"message": format!("snapshots say until {until} that a loss is meant"), "accept_loss_until": until}).to_string(),
    ))
}
