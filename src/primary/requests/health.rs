//! `GET /-/liveness` and `/-/readiness`: for who watches the process. A primary that answers has its store open.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

const UNANSWERED_MESSAGE: &str = "the primary's store does not answer; look at its disk";
const OK_BODY: &str = r#"{"status":"ok"}"#;

/// The process answers.
pub async fn liveness(_state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    Ok(Response::json(StatusCode::OK, OK_BODY))
}

/// The store can be read and written; 503 with the reason otherwise.
pub async fn readiness(state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    if let Some(message) = state.store_health().message() {
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    let directory = state.store.directory();
    let read_settings = move || directory.settings().map(|_| Value::Null).map_err(|error| StoreError(error.to_string()));
    match state.figures.read("readiness", read_settings).await? {
        Some(_) => Ok(Response::json(StatusCode::OK, OK_BODY)),
        None => Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, UNANSWERED_MESSAGE)),
    }
}
