//! `POST /-/admin/revoke-key`: a key is deleted, and held against later directory files; the response says on which hosts that is in
//! force. (`id`, `wait` in seconds)

use std::sync::Arc;

use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Change;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::primary::directory::revocations::{self, Order};
use crate::primary::replication::propagation;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::PrivateStore;

/// Deletes the key and what it was granted, then waits for the fleet if asked to. One that is revoked already is waited for all the same.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let id = request.required_id("id")?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let (private_store, order) = (state.store.private_store().clone(), Order::of(&request.peer, request.time.wall));
    let (head, key) = state.writer.revoke("revoke-key", move |directory| revoke(directory, &private_store, id, order)).await?;
    let RevokedNow { fingerprint, user_id } = key;
    tracing::warn!(key = %fingerprint, %id, seq = head.seq, "the operator revoked key {id} ({fingerprint})");
    let revoked = json!({"id": id, "fingerprint": fingerprint.to_string(), "user_id": user_id});
    let propagation = state.propagation_monitor().propagation(&head, wait).await;
    Ok(propagation.revocation_response(format!("key {id} ({fingerprint}) is revoked"), "revoked", revoked, head))
}

struct RevokedNow {
    fingerprint: Fingerprint,
    /// Its owner; `None` for a deploy key, and for a key that was revoked before.
    user_id: Option<Id>,
}

fn revoke(directory: &Generation, private_store: &PrivateStore, id: Id, order: Order) -> Result<(Vec<Change>, RevokedNow), ApiError> {
    let entry = directory.entry(&RecordIdentity::Key(id))?;
    if let Some(Record::Key(key)) = entry.as_ref().and_then(|entry| entry.record()).map(AsRef::as_ref) {
        let changes = revocations::revoke_key(directory, private_store, key, order)?;
        return Ok((changes, RevokedNow { fingerprint: key.key.fingerprint(), user_id: key.user_id }));
    }
    let fingerprint = revocations::find_key(private_store, id)?.ok_or_else(|| ApiError::not_found("Key"))?;
    Ok((Vec::new(), RevokedNow { fingerprint, user_id: None }))
}
