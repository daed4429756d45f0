//! `GET internal/kubernetes/project_info` and `verify_project_access`: where is a project that an agent may read? (`id`: a number
//! or a path; server.md 2.13)
//!
//! An agent reads its own project, and what anybody at all may download. What it may not read is not there.

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::kubernetes::shown::{agent, storage};
use crate::authority::refusal::{Answered, Refusal};
use crate::model::directory::Directory as _;
use crate::model::record::{Agent, Project};
use crate::model::time::Time;
use crate::net::message::Reply;
use crate::rules::allowed::anonymous_may_download;
use crate::store::generation::Generation;
use crate::wire::kubernetes as spelled;

/// Answers with the project.
pub async fn project_info(house: &Arc<Authority>, call: Call) -> Answered {
    let agent = agent(house, &call)?;
    let directory = house.store.directory();
    let project = readable(&directory, &agent, &asked(&call)?, call.now)?;
    let storage = storage(&directory, &project)?;
    Ok(Reply::json(StatusCode::OK, spelled::project_info(&project, &storage)))
}

/// Answers whether `project_info` would.
pub async fn verify_project_access(house: &Arc<Authority>, call: Call) -> Answered {
    let agent = agent(house, &call)?;
    readable(&house.store.directory(), &agent, &asked(&call)?, call.now)?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn asked(call: &Call) -> Result<String, Refusal> {
    let id = call.params.text("id").map_err(|_| Refusal::invalid("id is invalid"))?;
    id.filter(|id| !id.is_empty()).ok_or_else(|| Refusal::invalid("id is missing"))
}

fn readable(directory: &Generation, agent: &Agent, asked: &str, now: Time) -> Result<Arc<Project>, Refusal> {
    let found = match asked.parse() {
        Ok(id) => directory.project(id)?,
        Err(_) => match directory.project_at(asked)? {
            None => directory.project_formerly_at(asked)?,
            found => found,
        },
    };
    let project = found.ok_or_else(|| Refusal::not_found(""))?;
    if project.id == agent.project_id || anonymous_may_download(directory, &project, now)? {
        return Ok(project);
    }
    Err(Refusal::not_found(""))
}
