//! `GET internal/kubernetes/modules/starboard_vulnerability/{scan_execution_policies,policies_configuration}`: when is an agent to
//! scan, and what? (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::directory::unpublished;
use crate::primary::extras::kubernetes::agent_auth::authenticate_agent;
use crate::primary::state::PrimaryState;
use crate::wire::kubernetes;

/// Answers with the policies of the agent's project.
pub async fn scan_execution_policies(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (private_store, project) = (state.store.private_store().clone(), authenticate_agent(state, &request)?.project_id);
    let policies = run_blocking(move || unpublished::scan_policies(&private_store, project)).await?;
    Ok(Response::json(StatusCode::OK, kubernetes::encode_scan_execution_policies(&policies)))
}

/// Answers with how often the agent's project scans what.
pub async fn policies_configuration(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (private_store, project) = (state.store.private_store().clone(), authenticate_agent(state, &request)?.project_id);
    let configurations = run_blocking(move || unpublished::policy_configurations(&private_store, project)).await?;
    Ok(Response::json(StatusCode::OK, kubernetes::encode_policy_configurations(&configurations)))
}
