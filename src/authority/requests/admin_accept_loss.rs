//! `POST /-/admin/accept-loss`: a loss is meant; said once, for the whole fleet.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::PrimaryState;
use crate::authority::blocking::run_blocking;
use crate::authority::call::ApiRequest;
use crate::authority::following::loss;
use crate::authority::refusal::HandlerResult;
use crate::net::message::Response;

/// Snapshots say so from now on, for a while.
pub async fn accept_loss(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let (ledger, now) = (house.store.private_store().clone(), call.now);
    let until = run_blocking(move || loss::accept(&ledger, now)).await?;
    tracing::warn!(%until, "the operator says that a loss is meant");
    Ok(Response::json(
        StatusCode::OK,
        json!({"message": format!("snapshots say until {until} that a loss is meant"), "accept_loss_until": until}).to_string(),
    ))
}
