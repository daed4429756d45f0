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
use crate::primary::callers::requester::{KEY_NOT_FOUND, Requester, failure_response, find_requester};
use crate::primary::credentials::recovery_codes;
use crate::primary::state::PrimaryState;
use crate::rules::{account, key_rules};

/// Answers with the codes, which are shown this once. A `user_id` alone is not enough, as it is not for GitLab; nor are a key and an account
/// that `allowed` refuses.
pub async fn two_factor_recovery_codes(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let (user, key) = match find_requester(house, &call)? {
        Requester::KeyOwner(user, key) => (user, key),
        Requester::DeployKey => return failure_response("Deploy keys cannot be used to retrieve recovery codes"),
        Requester::User(_) => return failure_response(KEY_NOT_FOUND),
        Requester::NotFound(text) => return failure_response(text),
    };
    let settings = house.store.directory().settings()?;
    let refused = key_rules::key_refusal(&key, &settings, call.now).or_else(|| account::account_refusal(&user, &settings, call.now));
    if let Some(reason) = refused {
        return failure_response(&reason.message());
    }
    if !user.two_factor {
        return failure_response("Two-factor authentication is not enabled for this user");
    }
    let (ledger, id, now) = (house.store.private_store().clone(), user.id, call.now);
    let codes = run_blocking(move || recovery_codes::replace_codes(&ledger, id, now)).await?;
    tracing::info!(user = %id, "new recovery codes were given");
    Ok(Response::json(StatusCode::OK, json!({"success": true, "recovery_codes": codes}).to_string()))
}
