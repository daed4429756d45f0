//! `POST internal/two_factor_recovery_codes`: new recovery codes in the place of all old ones, for who comes by a key of their
//! own. (server.md 2.6)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::net::message::Response;
use crate::primary::callers::requester::{self, KEY_NOT_FOUND, Requester, failure_response, find_requester};
use crate::primary::credentials::recovery_codes;
use crate::primary::state::PrimaryState;
use crate::rules::{account, key_rules};

/// Answers with the codes, which are shown this once. A `user_id` alone is not enough, as it is not for GitLab; nor are a key and an account
/// that `allowed` refuses.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (user, key) = match find_requester(state, &request)? {
        Requester::KeyOwner(user, key) => (user, key),
        Requester::DeployKey => return failure_response("Deploy keys cannot be used to retrieve recovery codes"),
        Requester::User(_) => return failure_response(KEY_NOT_FOUND),
        Requester::NotFound(text) => return failure_response(text),
    };
    let settings = state.store.directory().settings()?;
    let refused = key_rules::key_refusal(&key, &settings, request.time.wall)
        .or_else(|| account::account_refusal(&user, &settings, request.time.wall));
    if let Some(reason) = refused {
        return failure_response(&reason.message());
    }
    if !user.two_factor {
        return failure_response("Two-factor authentication is not enabled for this user");
    }
    let (store, id, now) = (state.store.clone(), user.id, request.time.wall);
    let replace = move || {
        recovery_codes::replace_codes(&store, id, now, |directory| requester::is_still_entitled(directory, &user, Some(&*key), now))
    };
    let Some(codes) = run_blocking(replace).await? else { return failure_response(KEY_NOT_FOUND) };
    tracing::info!(user = %id, "created new recovery codes for user {id}");
    Ok(Response::json(StatusCode::OK, json!({"success": true, "recovery_codes": codes}).to_string()))
}
