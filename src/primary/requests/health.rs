//! `GET /-/liveness` and `/-/readiness`: for who watches the process. A primary that answers has its store open.

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;

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
    run_blocking(move || directory.settings()).await?;
    Ok(Response::json(StatusCode::OK, OK_BODY))
}
