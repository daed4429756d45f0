//! `POST internal/kubernetes/usage_metrics`: agents were used so often. (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::PrimaryState;
use crate::authority::blocking::run_blocking;
use crate::authority::call::ApiRequest;
use crate::authority::kubernetes::counting::add_usage;
use crate::authority::refusal::{ApiError, HandlerResult};
use crate::net::message::Response;
use crate::wire::kubernetes::{UsageMetricsError, parse_usage_metrics};

/// Counts it.
pub async fn usage_metrics(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let usage = parse_usage_metrics(&call.params).map_err(|bad| match bad {
        UsageMetricsError::Invalid(invalid) => ApiError::from(invalid),
        UsageMetricsError::NegativeCount(_) => ApiError::bad_request(bad),
    })?;
    let store = house.store.clone();
    run_blocking(move || add_usage(store.private_store(), &store.directory(), &usage)).await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}
