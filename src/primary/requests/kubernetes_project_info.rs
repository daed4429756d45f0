//! `GET internal/kubernetes/project_info` and `verify_project_access`: where is a project that an agent may read? (`id`: a number
//! or a path; server.md 2.13)
//!
//! An agent reads its own project, and what anybody at all may download. What it may not read is not there.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::record::{Agent, Project};
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::extras::kubernetes::agent_auth::{authenticate_agent, project_storage};
use crate::primary::state::PrimaryState;
use crate::rules::allowed::can_anonymous_download;
use crate::store::generations::generation::Generation;
use crate::wire::kubernetes;

/// Answers with the project.
pub async fn project_info(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let agent = authenticate_agent(state, &request)?;
    let directory = state.store.directory();
    let project = find_readable_project(&directory, &agent, &project_param(&request)?, request.time.wall)?;
    let storage = project_storage(&directory, &project)?;
    Ok(Response::json(StatusCode::OK, kubernetes::encode_project_info(&project, &storage)))
}

/// Answers 204 where `project_info` would answer with a project.
pub async fn verify_project_access(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let agent = authenticate_agent(state, &request)?;
    find_readable_project(&state.store.directory(), &agent, &project_param(&request)?, request.time.wall)?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

fn project_param(request: &ApiRequest) -> Result<String, ApiError> {
    let id = request.params.text("id").map_err(|_| ApiError::invalid_parameters("id is invalid"))?;
    id.filter(|id| !id.is_empty()).ok_or_else(|| ApiError::invalid_parameters("id is missing"))
}

fn find_readable_project(directory: &Generation, agent: &Agent, id_or_path: &str, now: Time) -> Result<Arc<Project>, ApiError> {
    let found = match id_or_path.parse() {
        Ok(id) => directory.project(id)?,
        Err(_) => match directory.project_by_path(id_or_path)? {
            None => directory.project_by_former_path(id_or_path)?,
            found => found,
        },
    };
    let project = found.ok_or_else(|| ApiError::not_found(""))?;
    if project.id == agent.project_id || can_anonymous_download(directory, &project, now)? {
        return Ok(project);
    }
    Err(ApiError::not_found(""))
}
