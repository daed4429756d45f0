//! `GET /-/admin/kubernetes`: what agents told: their configurations and whom those let in, how much they were used, what they
//! found.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::extras::kubernetes::{agent_configuration, findings, usage_counts};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// Answers with one object.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let ledger = state.store.private_store().clone();
    let body = run_blocking(move || {
        Ok::<_, StoreError>(json!({
            "configurations": agent_configuration::load_all(&ledger)?,
            "usage": usage_counts::load_totals(&ledger)?,
            "findings": findings::load_states(&ledger)?,
        }))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
