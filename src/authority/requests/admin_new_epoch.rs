//! `POST /-/admin/new-epoch`: after a restore from a backup, every host takes the directory anew.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::refusal::Answered;
use crate::net::message::Reply;

/// Begins it.
pub async fn new_epoch(house: &Arc<Authority>, _call: Call) -> Answered {
    let store = house.store.clone();
    let head = blocking(move || store.new_epoch()).await?;
    tracing::warn!(epoch = %head.epoch, seq = head.seq, "the operator began a new epoch");
    Ok(Reply::json(
        StatusCode::OK,
        json!({"message": format!("epoch {} begins at seq {}; every host takes a snapshot", head.epoch, head.seq), "head": head})
            .to_string(),
    ))
}
