//! `GET /-/admin/kubernetes`: what agents reported: their configurations and whom those let in, how much they were used, their findings.

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
    let private_store = state.store.private_store().clone();
    let body = run_blocking(move || {
        Ok::<_, StoreError>(json!({
            "configurations": agent_configuration::load_all(&private_store)?,
            "usage": usage_counts::load_totals(&private_store)?,
            "findings": findings::load_states(&private_store)?,
        }))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
