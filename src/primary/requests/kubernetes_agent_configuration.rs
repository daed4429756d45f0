//! `POST internal/kubernetes/agent_configuration`: the configuration of an agent, from its project. (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::id::Id;
use crate::net::message::Response;
use crate::primary::extras::kubernetes::agent_configuration::store_configuration;
use crate::primary::state::PrimaryState;
use crate::wire::kubernetes::parse_agent_configuration;

/// Stores it, with the projects and groups that it lets in.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let read = parse_agent_configuration(&request.params)?;
    let (store, now) = (state.store.clone(), request.time.wall);
    run_blocking(move || {
        let directory = store.directory();
        let agent = match u64::try_from(read.agent_id).ok().and_then(|number| Id::try_from(number).ok()) {
            Some(id) => directory.agent(id)?,
            None => None,
        };
        let agent = agent.ok_or_else(|| ApiError::new(StatusCode::NOT_FOUND, "404 Not found"))?;
        store_configuration(store.private_store(), &directory, &agent, read, now).map_err(ApiError::from)
    })
    .await?;
    Ok(Response::empty(StatusCode::NO_CONTENT))
}
