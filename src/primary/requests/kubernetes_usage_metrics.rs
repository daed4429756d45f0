//! `POST internal/kubernetes/usage_metrics`: how often agents were used. (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::extras::kubernetes::usage_counts::add_usage;
use crate::primary::state::PrimaryState;
use crate::wire::kubernetes::{UsageMetricsError, parse_usage_metrics};

/// Adds the counts.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let usage = parse_usage_metrics(&request.params).map_err(|bad| match bad {
        UsageMetricsError::Invalid(invalid) => ApiError::from(invalid),
        UsageMetricsError::NegativeCount(_) => ApiError::bad_request(bad),
    })?;
    let store = state.store.clone();
    run_blocking(move || add_usage(&store, &usage)).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}
