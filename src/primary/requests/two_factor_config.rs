//! `POST internal/two_factor_config`: whether Git over SSH asks this person for a second factor. (server.md 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::net::message::Response;
use crate::primary::callers::requester::{KEY_NOT_FOUND, Requester, failure_response, find_requester};
use crate::primary::state::PrimaryState;

/// Answers with `two_factor_required`; only `success: false` where the instance does not ask at all.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    if !state.store.directory().settings()?.two_factor_for_cli {
        return Ok(Response::json(StatusCode::OK, json!({"success": false}).to_string()));
    }
    let required = match find_requester(state, &request)? {
        Requester::KeyOwner(user, _) => user.two_factor,
        Requester::DeployKey => false,
        Requester::User(_) => return failure_response(KEY_NOT_FOUND),
        Requester::NotFound(text) => return failure_response(text),
    };
    Ok(Response::json(StatusCode::OK, json!({"success": true, "two_factor_required": required}).to_string()))
}
