//! `GET internal/kubernetes/modules/starboard_vulnerability/{scan_execution_policies,policies_configuration}`: when is an agent to
//! scan, and what? (server.md 2.13)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::kubernetes::shown::agent;
use crate::authority::refusal::Answered;
use crate::authority::withheld;
use crate::net::message::Reply;
use crate::wire::kubernetes as spelled;

/// Answers with the policies of the agent's project.
pub async fn scan_execution_policies(house: &Arc<Authority>, call: Call) -> Answered {
    let (ledger, project) = (house.store.ledger().clone(), agent(house, &call)?.project_id);
    let policies = blocking(move || withheld::policies(&ledger, project)).await?;
    Ok(Reply::json(StatusCode::OK, spelled::policies(&policies)))
}

/// Answers with how often the agent's project scans what.
pub async fn policies_configuration(house: &Arc<Authority>, call: Call) -> Answered {
    let (ledger, project) = (house.store.ledger().clone(), agent(house, &call)?.project_id);
    let configurations = blocking(move || withheld::configurations(&ledger, project)).await?;
    Ok(Reply::json(StatusCode::OK, spelled::configurations(&configurations)))
}
