//! `POST internal/two_factor_recovery_codes`: new recovery codes in the place of all old ones, for who comes by a key of their
//! own. (server.md 2.6)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::claimed::{Claimed, NO_KEY, claimed, failed};
use crate::authority::credentials::codes;
use crate::authority::refusal::Answered;
use crate::model::directory::Directory as _;
use crate::net::message::Reply;
use crate::rules::{account, key_rules};

/// Answers with the codes, which are shown this once. A `user_id` alone is not enough, as it is not for GitLab; nor are a key and an account
/// that `allowed` refuses.
pub async fn two_factor_recovery_codes(house: &Arc<Authority>, call: Call) -> Answered {
    let (user, key) = match claimed(house, &call)? {
        Claimed::ByKey(user, key) => (user, key),
        Claimed::DeployKey => return failed("Deploy keys cannot be used to retrieve recovery codes"),
        Claimed::ById(_) => return failed(NO_KEY),
        Claimed::Nobody(text) => return failed(text),
    };
    let settings = house.store.directory().settings()?;
    let refused = key_rules::refused(&key, &settings, call.now).or_else(|| account::refused(&user, &settings, call.now));
    if let Some(reason) = refused {
        return failed(&reason.text());
    }
    if !user.two_factor {
        return failed("Two-factor authentication is not enabled for this user");
    }
    let (ledger, id, now) = (house.store.ledger().clone(), user.id, call.now);
    let codes = blocking(move || codes::replace(&ledger, id, now)).await?;
    tracing::info!(user = %id, "new recovery codes were given");
    Ok(Reply::json(StatusCode::OK, json!({"success": true, "recovery_codes": codes}).to_string()))
}
