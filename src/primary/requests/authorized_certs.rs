//! `GET internal/authorized_certs`: whose certificate is this? Groups with certificates of their own are not of the community
//! edition, and the directory has none. (server.md 2.11)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::primary::state::PrimaryState;

/// Answers that there is no such feature.
pub async fn handle(_state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    Err(ApiError::new(StatusCode::FORBIDDEN, "Feature is not available"))
}
