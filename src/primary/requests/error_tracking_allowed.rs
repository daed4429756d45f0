//! `POST internal/error_tracking/allowed`: may a client report errors with this key? Asked with a token of its own. (server.md 2.12)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::id::Id;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::wire::error_tracking_allowed;

/// The header of the token; the parameter goes before it.
const TOKEN_HEADER: &str = "gitlab-error-tracking-token";
/// The parameter of the token.
const TOKEN_PARAMETER: &str = "error_tracking_token";

/// Checks the token, then answers whether the key is active.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    authenticate(state, &request)?;
    let (project, public_key) = error_tracking_allowed::parse_request(&request.params)?.ok_or_else(unprocessable)?;
    let directory = state.store.directory();
    let project_found = match project.parse::<Id>() {
        Ok(id) => directory.project(id)?,
        Err(_) => None,
    };
    let project = project_found.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "404 Not found"))?;
    let key = directory.error_tracking_key(project.id, &public_key)?;
    let enabled = directory.settings()?.error_tracking && key.is_some_and(|key| key.active);
    Ok(Response::json(StatusCode::OK, error_tracking_allowed::encode_response(enabled)))
}

/// Checks the token. Without a configured one none is accepted. Of a request that could not be read the header counts.
fn authenticate(state: &PrimaryState, request: &ApiRequest) -> Result<(), ApiError> {
    let parameter = request.params.text(TOKEN_PARAMETER).unwrap_or_default();
    let mut headers = request.headers.get_all(TOKEN_HEADER).iter();
    let token = match (parameter, headers.next(), headers.next()) {
        (Some(token), _, _) => token.into_bytes(),
        (None, Some(header), None) => header.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let accepted = state.error_tracking_token.secrets().is_some_and(|secrets| secrets.matches_accepted(&token, request.time.wall));
    if accepted {
        return request.ensure_readable();
    }
    state.api.metrics.count_refused_token(if token.is_empty() { "no token" } else { "wrong token" });
    Err(ApiError::unauthorized())
}

fn unprocessable() -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "422 Unprocessable Entity")
}
