//! `GET internal/kubernetes/agent_info`: which agent is this, and where is its project? (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::kubernetes::shown::{agent, home};
use crate::authority::refusal::Answered;
use crate::net::message::Reply;
use crate::wire::kubernetes as spelled;

/// Answers with the agent and its project.
pub async fn agent_info(house: &Arc<Authority>, call: Call) -> Answered {
    let agent = agent(house, &call)?;
    let (project, storage) = home(&house.store.directory(), &agent)?;
    Ok(Reply::json(StatusCode::OK, spelled::agent_info(&agent, &project, &storage)))
}
