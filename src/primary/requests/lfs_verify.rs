//! `POST internal/sidegate/lfs_verify`: what is this token good for? Asked by whoever serves the large files.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::rules::lfs::{LfsAccess, verify_token};
use crate::wire::lfs_verify;

/// Answers with the name and the access, or 401 without saying why.
pub async fn lfs_verify(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let proof = lfs_verify::parse_request(&call.params)?;
    let judged = verify_token(&house.store.directory(), &house.store.token_seed(), &proof, call.now)?;
    let (holder, access) = judged.ok_or_else(ApiError::unauthorized)?;
    Ok(Response::json(StatusCode::OK, lfs_verify::encode_response(&holder.login(), access == LfsAccess::Write)))
}
