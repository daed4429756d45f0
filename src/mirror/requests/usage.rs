//! `POST internal/sidegate/usage`: which keys were used at a host. They are verified; the answer says how often each is worth a report.
//! `{"keys": {id: day}, "users": {id: day}}` is answered with `{"verify_every": seconds}`.

use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::mirror::state::MirrorState;
use crate::model::id::Id;
use crate::net::message::Response;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageReport {
    #[serde(default)]
    keys: HashMap<String, IgnoredAny>,
    /// Users are not verified: what they may is asked of GitLab at every host.
    #[serde(default, rename = "users")]
    _users: HashMap<String, IgnoredAny>,
}

/// Takes the whole report, or none of it.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    let used: UsageReport = request.json_body()?;
    let ids = used.keys.keys().map(|id| id.parse::<Id>()).collect::<Result<Vec<_>, _>>().map_err(ApiError::bad_request)?;
    state.verification.report(ids);
    let every = state.verification.every();
    let seconds = every.as_secs() + u64::from(every.subsec_nanos() > 0);
    Ok(Response::json(StatusCode::OK, json!({"verify_every": seconds}).to_string()))
}
