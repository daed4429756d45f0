//! `GET /-/admin/kubernetes`: what agents told: their configurations and whom those let in, how much they were used, what they
//! found.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::kubernetes::{access, counting, findings};
use crate::authority::refusal::Answered;
use crate::net::message::Reply;
use crate::store::generation::Damage;

/// Answers with one object.
pub async fn kubernetes(house: &Arc<Authority>, _call: Call) -> Answered {
    let ledger = house.store.ledger().clone();
    let body = blocking(move || {
        Ok::<_, Damage>(json!({
            "configurations": access::all(&ledger)?,
            "usage": counting::counted(&ledger)?,
            "findings": findings::all(&ledger)?,
        }))
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}
