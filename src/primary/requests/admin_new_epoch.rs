//! `POST /-/admin/new-epoch`: after a restore from a backup, every host takes the directory anew, and the projects that pushes create are
//! numbered far above the ids that were given before. Hosts that came after the backup are not known: for as long as any of them may answer
//! without the primary, no revocation is said to be in force everywhere.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::net::message::Response;
use crate::primary::directory::{project_ids, reserved_projects};
use crate::primary::replication::missing_hosts::MissingReason;
use crate::primary::state::PrimaryState;

/// Starts the epoch.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let shared = Arc::clone(state);
    let (head, after) = run_blocking(move || {
        // No project is created between the gap and the epoch.
        let _guard = shared.writer.lock()?;
        shared.missing_hosts.begin(
            MissingReason::NewEpoch,
            shared.hosts.longest_bound(),
            shared.store.private_store(),
            RequestTime::now(),
        )?;
        // What a backup holds as reserved may have been a project since.
        reserved_projects::release_all(shared.store.private_store())?;
        let after = project_ids::leave_gap(&shared.store.directory(), shared.store.private_store())?;
        Ok::<_, ApiError>((shared.store.start_new_epoch()?, after))
    })
    .await?;
    tracing::warn!(epoch = %head.epoch, seq = head.seq, "the operator started epoch {} at seq {}; ids of created projects go on after {after}",
        head.epoch,
        head.seq);
    Ok(Response::json(
        StatusCode::OK,
        json!({
            "message": format!("epoch {} begins at seq {}; every host takes a snapshot", head.epoch, head.seq),
            "head": head,
            "missing_hosts": state.missing_hosts.current(request.time),
        })
        .to_string(),
    ))
}
