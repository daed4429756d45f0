//! `POST /-/admin/block-user`: an account is blocked, also against later directory files; the response says on which hosts that is in
//! force. (`username`, `wait` in seconds)

use std::sync::Arc;

use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::record::Record;
use crate::primary::directory::revocations::{self, Order};
use crate::primary::replication::propagation;
use crate::primary::state::PrimaryState;
use crate::store::pages::index::IndexKey;

/// Blocks the account, then waits for the fleet if asked to. One that is blocked already is waited for all the same.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let username = request.required_text("username")?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let (private_store, order) = (state.store.private_store().clone(), Order::of(&request.peer, request.time.wall));
    let (head, user) = state
        .writer
        .revoke("block-user", move |directory| {
            let entry = directory.load_entry_by_index(&IndexKey::by_username(&username))?;
            match entry.as_ref().and_then(|entry| entry.record()).map(AsRef::as_ref) {
                Some(Record::User(user)) => Ok((revocations::block_user(directory, &private_store, user, order)?, user.clone())),
                _ => Err(ApiError::not_found("User")),
            }
        })
        .await?;
    tracing::warn!(username = %user.username, seq = head.seq, "the operator blocked user {}", user.username);
    let blocked = json!({"id": user.id, "username": user.username, "before": user.state});
    let propagation = state.propagation_monitor().propagation(&head, wait).await;
    Ok(propagation.revocation_response(format!("user {} is blocked", user.username), "blocked", blocked, head))
}
