//! `GET internal/authorized_keys`: whose key is this? Expiry and blocked owners are not asked here. (server.md 2.3)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::enums::KeyUsage;
use crate::model::key::{Fingerprint, decode_blob};
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::wire::authorized_keys::encode_authorized_key;

/// Answers with the key, or 404.
pub async fn authorized_keys(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let asked = call.required_text("key")?;
    let directory = house.store.directory();
    let found = match decode_blob(&asked) {
        Some(blob) => directory.key_by_fingerprint(&Fingerprint::of(&blob))?,
        None => None,
    };
    let key = found.filter(|key| key.usage != KeyUsage::Signing).ok_or_else(|| ApiError::not_found("Key"))?;
    let owner = match key.user_id {
        Some(id) => directory.user(id)?,
        None => None,
    };
    let host = &directory.settings()?.host;
    Ok(Response::json(StatusCode::OK, encode_authorized_key(&key, owner.as_deref(), host)))
}
