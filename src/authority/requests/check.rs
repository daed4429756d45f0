//! `GET internal/check`: is somebody there, and of which version? (server.md 2.5)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::PrimaryState;
use crate::authority::call::ApiRequest;
use crate::authority::refusal::HandlerResult;
use crate::net::message::Response;
use crate::wire::answer;

/// What stands for the revision, which GitLab takes from its source tree.
const REVISION: &str = "sidegate";

/// Answers with the versions; what GitLab keeps in Redis is kept by the store, which is open.
pub async fn check(_house: &Arc<PrimaryState>, _call: ApiRequest) -> HandlerResult {
    Ok(Response::json(StatusCode::OK, answer::check_body(env!("CARGO_PKG_VERSION"), REVISION, true).to_string()))
}
