//! `POST internal/sidegate/lfs_verify`: what may the holder of this token do? Sent by whoever serves the large files.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::rules::lfs::{LfsAccess, verify_token};
use crate::wire::lfs_verify;

/// Answers with the name and the access, or 401 without saying why.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let proof = lfs_verify::parse_request(&request.params)?;
    let judged = verify_token(&state.store.directory(), &state.store.token_seed(), &proof, request.time.wall)?;
    let (holder, access) = judged.ok_or_else(ApiError::unauthorized)?;
    Ok(Response::json(StatusCode::OK, lfs_verify::encode_response(&holder.login(), access == LfsAccess::Write)))
}
