//! `GET internal/authorized_keys`: whose key is this? (server.md 2.3)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::key::decode_blob;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::rules;
use crate::wire::authorized_keys::{encode_authorized_key, parse_key};

/// Answers with the key, or 404.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let key = parse_key(&request.params)?.filter(|key| !key.is_empty()).ok_or_else(|| ApiError::missing_parameter("key"))?;
    let blob = decode_blob(&key).ok_or_else(|| ApiError::not_found("Key"))?;
    let found = rules::authorized_keys::decide(&state.store.directory(), &blob)?.ok_or_else(|| ApiError::not_found("Key"))?;
    let body = encode_authorized_key(&found.key, found.owner.as_deref(), &found.settings.host);
    Ok(Response::json(StatusCode::OK, body))
}
