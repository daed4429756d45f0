//! `GET personal_access_tokens/self`: what is known of the token that is shown. Any scope will do.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::credentials::holder::{Holder, identify};
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;

/// Answers with the token, but for itself. The operator's token is nobody's own.
pub async fn personal_access_tokens_self(house: &Arc<Authority>, call: Call) -> Answered {
    let Holder::User(_, token) = identify(house, &call).await? else { return Err(Refusal::unauthorized()) };
    let body = json!({
        "id": token.id,
        "name": token.name,
        "revoked": false,
        "created_at": token.created_at,
        "scopes": token.scopes,
        "user_id": token.user_id,
        "last_used_at": token.last_used_at,
        "active": token.active(call.now),
        "expires_at": token.expires_at,
    });
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}
