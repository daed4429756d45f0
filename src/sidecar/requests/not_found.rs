//! Whatever is not answered here and never passed on: 404.

use std::sync::Arc;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::sidecar::state::SidecarState;

/// Answers 404.
pub async fn handle(_state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    Err(ApiError::not_found(""))
}
