//! `POST internal/pre_receive`: a push begins. (server.md 2.8)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::pushes::reference_counter;
use crate::primary::state::PrimaryState;
use crate::wire::pre_receive;

/// Counts it. A push that cannot be counted may not begin, and the response says so.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let gl_repository = pre_receive::parse_gl_repository(&request.params)?;
    let (private_store, now) = (state.store.private_store().clone(), request.time.wall);
    let counted = run_blocking(move || Ok::<_, ApiError>(reference_counter::increment(&private_store, &gl_repository, now))).await?;
    if let Err(error) = &counted {
        tracing::error!(%error, "failed to count the beginning of a push, refusing it: {error}");
    }
    Ok(Response::json(StatusCode::OK, pre_receive::encode_response(counted.is_ok())))
}
