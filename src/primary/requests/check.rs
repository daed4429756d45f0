//! `GET internal/check`: does the application work, and which version is it? (server.md 2.5)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::wire::check::response_body;

/// The revision, which GitLab takes from its source tree.
const REVISION: &str = "sidegate";

/// Answers with the versions; what GitLab keeps in Redis is kept by the store, which is open.
pub async fn handle(_state: &Arc<PrimaryState>, _request: ApiRequest) -> HandlerResult {
    Ok(Response::json(StatusCode::OK, response_body(env!("CARGO_PKG_VERSION"), REVISION, true).to_string()))
}
