//! `GET personal_access_tokens/self`: the token of the caller. Any scope will do.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::callers::token_owner::{TokenOwner, authenticate};
use crate::primary::state::PrimaryState;

/// Answers with the token's facts, without the token. The operator's token belongs to no user: 401.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let TokenOwner::User(_, token) = authenticate(state, &request).await? else { return Err(ApiError::unauthorized()) };
    let body = json!({
        "id": token.id,
        "name": token.name,
        "revoked": false,
        "created_at": token.created_at,
        "scopes": token.scopes,
        "user_id": token.user_id,
        "last_used_at": token.last_used_at,
        "active": token.is_active(request.time.wall),
        "expires_at": token.expires_at,
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
