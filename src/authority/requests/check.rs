//! `GET internal/check`: is somebody there, and of which version? (server.md 2.5)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::Answered;
use crate::net::message::Reply;
use crate::wire::answer;

/// What stands for the revision, which GitLab takes from its source tree.
const REVISION: &str = "sidegate";

/// Answers with the versions; what GitLab keeps in Redis is kept by the store, which is open.
pub async fn check(_house: &Arc<Authority>, _call: Call) -> Answered {
    Ok(Reply::json(StatusCode::OK, answer::check(env!("CARGO_PKG_VERSION"), REVISION, true).to_string()))
}
