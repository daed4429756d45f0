//! `POST internal/sidegate/lfs_verify`: what may the holder of this token do? Sent by whoever serves the large files.

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::callers::token_seed::holder_seed;
use crate::primary::state::PrimaryState;
use crate::rules::lfs::{LfsAccess, find_holder, verify_token};
use crate::wire::lfs_verify;

/// Answers with the name and the access, or 401 without saying why.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let proof = lfs_verify::parse_request(&request.params)?;
    let (store, now) = (state.store.clone(), request.time.wall);
    let judged = run_blocking(move || {
        let directory = store.directory();
        let Some(holder) = find_holder(&directory, &proof.login)? else { return Ok(None) };
        verify_token(&directory, &holder_seed(&store, &holder)?, &proof, now).map_err(ApiError::from)
    });
    let (holder, access) = judged.await?.ok_or_else(ApiError::unauthorized)?;
    Ok(Response::json(StatusCode::OK, lfs_verify::encode_response(&holder.login(), access == LfsAccess::Write)))
}
