//! `GET /-/admin/revocations`: the keys and users that the operator revoked and that no directory file brings back.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::directory::revocations::{Revocation, Revocations};
use crate::primary::state::PrimaryState;

/// Answers with all of them: keys by fingerprint, then users by id.
pub async fn handle(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    let private_store = state.store.private_store().clone();
    let revoked = run_blocking(move || Revocations::load(&private_store)).await?;
    let revocations: Vec<Revocation> = revoked.list().collect();
    Ok(Response::json(StatusCode::OK, json!({"revocations": revocations}).to_string()))
}
