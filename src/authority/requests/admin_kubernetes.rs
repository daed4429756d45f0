//! `GET /-/admin/kubernetes`: what agents told: their configurations and whom those let in, how much they were used, what they
//! found.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::PrimaryState;
use crate::authority::blocking::run_blocking;
use crate::authority::call::ApiRequest;
use crate::authority::kubernetes::{access, counting, findings};
use crate::authority::refusal::HandlerResult;
use crate::net::message::Response;
use crate::store::generation::StoreError;

/// Answers with one object.
pub async fn kubernetes(house: &Arc<PrimaryState>, _call: ApiRequest) -> HandlerResult {
    let ledger = house.store.private_store().clone();
    let body = run_blocking(move || {
        Ok::<_, StoreError>(json!({
            "configurations": access::load_all(&ledger)?,
            "usage": counting::load_totals(&ledger)?,
            "findings": findings::load_states(&ledger)?,
        }))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
