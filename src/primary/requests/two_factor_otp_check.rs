//! `POST internal/two_factor_manual_otp_check` and `…_push_otp_check`: as the community edition answers them. (server.md 2.10)

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::primary::callers::requester::failure_response;
use crate::primary::state::PrimaryState;

/// Answers that there is no such feature.
pub async fn handle(_state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    failure_response("Feature is not available")
}
