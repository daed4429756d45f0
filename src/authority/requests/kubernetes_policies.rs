//! `GET internal/kubernetes/modules/starboard_vulnerability/{scan_execution_policies,policies_configuration}`: when is an agent to
//! scan, and what? (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::PrimaryState;
use crate::authority::blocking::run_blocking;
use crate::authority::call::ApiRequest;
use crate::authority::kubernetes::shown::authenticate_agent;
use crate::authority::refusal::HandlerResult;
use crate::authority::withheld;
use crate::net::message::Response;
use crate::wire::kubernetes as spelled;

/// Answers with the policies of the agent's project.
pub async fn scan_execution_policies(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let (ledger, project) = (house.store.private_store().clone(), authenticate_agent(house, &call)?.project_id);
    let policies = run_blocking(move || withheld::scan_policies(&ledger, project)).await?;
    Ok(Response::json(StatusCode::OK, spelled::encode_scan_execution_policies(&policies)))
}

/// Answers with how often the agent's project scans what.
pub async fn policies_configuration(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let (ledger, project) = (house.store.private_store().clone(), authenticate_agent(house, &call)?.project_id);
    let configurations = run_blocking(move || withheld::policy_configurations(&ledger, project)).await?;
    Ok(Response::json(StatusCode::OK, spelled::encode_policy_configurations(&configurations)))
}
