//! `GET internal/kubernetes/agent_info`: which agent is this, and where is its project? (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::extras::kubernetes::agent_auth::{agent_project, authenticate_agent};
use crate::primary::state::PrimaryState;
use crate::wire::kubernetes;

/// Answers with the agent and its project.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let agent = authenticate_agent(state, &request)?;
    let (project, storage) = agent_project(&state.store.directory(), &agent)?;
    Ok(Response::json(StatusCode::OK, kubernetes::encode_agent_info(&agent, &project, &storage)))
}
