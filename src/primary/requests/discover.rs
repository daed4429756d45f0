//! `GET internal/discover`: who is behind this key, id or name? Nobody is `null`, never 404. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::rules;
use crate::wire::claimant;
use crate::wire::discover::encode_response;

/// Answers with the user, or `null`.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let claimed_actor = claimant::parse_claimant(&request.params)?;
    let user = rules::discover::decide(&state.store.directory(), &claimed_actor)?;
    Ok(Response::json(StatusCode::OK, encode_response(user.as_deref())))
}
