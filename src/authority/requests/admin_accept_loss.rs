//! `POST /-/admin/accept-loss`: a loss is meant; said once, for the whole fleet.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::following::loss;
use crate::authority::refusal::Answered;
use crate::net::message::Reply;

/// Snapshots say so from now on, for a while.
pub async fn accept_loss(house: &Arc<Authority>, call: Call) -> Answered {
    let (ledger, now) = (house.store.ledger().clone(), call.now);
    let until = blocking(move || loss::accept(&ledger, now)).await?;
    tracing::warn!(%until, "the operator says that a loss is meant");
    Ok(Reply::json(
        StatusCode::OK,
        json!({"message": format!("snapshots say until {until} that a loss is meant"), "accept_loss_until": until}).to_string(),
    ))
}
