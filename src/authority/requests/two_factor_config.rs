//! `POST internal/two_factor_config`: whether Git over SSH asks this person for a second factor. (server.md 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::claimed::{Claimed, NO_KEY, claimed, failed};
use crate::authority::refusal::Answered;
use crate::model::directory::Directory as _;
use crate::net::message::Reply;

/// Answers with `two_factor_required`; only `success: false` where the instance does not ask at all.
pub async fn two_factor_config(house: &Arc<Authority>, call: Call) -> Answered {
    if !house.store.directory().settings()?.two_factor_for_cli {
        return Ok(Reply::json(StatusCode::OK, json!({"success": false}).to_string()));
    }
    let required = match claimed(house, &call)? {
        Claimed::ByKey(user, _) => user.two_factor,
        Claimed::DeployKey => false,
        Claimed::ById(_) => return failed(NO_KEY),
        Claimed::Nobody(text) => return failed(text),
    };
    Ok(Reply::json(StatusCode::OK, json!({"success": true, "two_factor_required": required}).to_string()))
}
