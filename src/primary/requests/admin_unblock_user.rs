//! `POST /-/admin/unblock-user`: undoes `block-user`: the account gets the state of the last file since then, or else the one that it had, and
//! files are not held against it any longer; refused where the file does not let the user in; the response says on which hosts that is in force. (`username`, `wait` in seconds)

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::primary::directory::revocations;
use crate::primary::replication::propagation;
use crate::primary::state::PrimaryState;
use crate::store::primary::private_store::PrivateWrites;

/// Unblocks the account, then waits for the fleet if asked to. One that is not blocked is waited for all the same.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let username = request.required_text("username")?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let shared = Arc::clone(state);
    let (head, user) = run_blocking(move || {
        let private_store = shared.store.private_store();
        let guard = shared.writer.lock()?;
        let (head, user) = guard.commit("unblock-user", |directory| revocations::unblock_user(directory, private_store, &username))?;
        if let Some(mark) = &user.mark {
            // After the commit: a crash in between leaves a mark of somebody who is back, which goes before the next commit.
            let removal = PrivateWrites { entries: vec![(mark.clone(), None)] };
            private_store.write(removal).inspect_err(|_| guard.leave_repairs())?;
        }
        Ok::<_, ApiError>((head, user))
    })
    .await?;
    let state_now = match user.state.map(|state| json!(state)) {
        Some(Value::String(state)) => state,
        _ => "not in the directory".to_owned(),
    };
    tracing::warn!(username = %user.username, seq = head.seq, "the operator unblocked user {}, who is now {state_now}", user.username);
    let unblocked = json!({"id": user.id, "username": user.username, "state": user.state});
    let message = format!("user {} is {state_now}", user.username);
    let propagation = state.propagation_monitor().propagation(&head, wait).await;
    Ok(propagation.revocation_response(message, "unblocked", unblocked, head))
}
