//! Which cluster agent a request is for, by the token that the agent sent to KAS and KAS passes on.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::api::error::ApiError;
use crate::api::request::ApiRequest;
use crate::model::directory::Directory as _;
use crate::model::record::{Agent, Project, Storage};
use crate::model::repository_place::RepositoryPlace;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::Generation;

/// The headers of the token, in the order in which they are read: two that hold nothing else, and one with a scheme.
const TOKEN_HEADERS: [&str; 3] = ["gitlab-agentk-api-request", "gitlab-agent-api-request", "authorization"];
const BEARER_SCHEME: &str = "bearer ";

/// Returns the agent. Refuses with 401 a request without a token, with two of them, or with an unknown one.
pub fn authenticate_agent(state: &PrimaryState, request: &ApiRequest) -> Result<Arc<Agent>, ApiError> {
    let found = match agent_token(request) {
        Some(token) => state.store.directory().agent_by_token_hash(&sha256_hex(token))?,
        None => None,
    };
    let agent = found.ok_or_else(|| {
        state.api.metrics.count_refused_token("no known agent");
        ApiError::unauthorized()
    })?;
    state.last_used.record(LastUsedSubject::Agent(agent.id), request.time.wall);
    Ok(agent)
}

/// Returns the project of an agent and the storage of its repository.
pub fn agent_project(directory: &Generation, agent: &Agent) -> Result<(Arc<Project>, Arc<Storage>), ApiError> {
    let project = directory.project(agent.project_id)?.ok_or_else(|| ApiError::not_found(""))?;
    let storage = project_storage(directory, &project)?;
    Ok((project, storage))
}

/// Returns the storage of a project's repository; none if another record leads to that repository too.
pub fn project_storage(directory: &Generation, project: &Project) -> Result<Arc<Storage>, ApiError> {
    if directory.is_shared_repository(&RepositoryPlace::of_project(project))? {
        return Err(ApiError::not_found(""));
    }
    directory.storage(&project.storage)?.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "404 Storage Not Found"))
}

/// Returns the token of the first header that is there; none if that header is there twice.
fn agent_token(request: &ApiRequest) -> Option<&str> {
    let name = TOKEN_HEADERS.into_iter().find(|name| request.headers.contains_key(*name))?;
    let mut values = request.headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let value = value.to_str().ok()?;
    let token = match name {
        "authorization" => {
            let (scheme, token) = value.split_at_checked(BEARER_SCHEME.len())?;
            scheme.eq_ignore_ascii_case(BEARER_SCHEME).then_some(token)?
        }
        _ => value,
    };
    Some(token.trim()).filter(|token| !token.is_empty())
}

fn sha256_hex(token: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(token) {
        let _infallible = write!(hex, "{byte:02x}");
    }
    hex
}
