//! `POST /-/admin/revoke-key`: a key is deleted; the response says on which hosts that is in force. (`id`, `wait` in seconds)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::model::record_identity::RecordIdentity;
use crate::net::message::Response;
use crate::primary::replication::propagation::{self, Propagation};
use crate::primary::state::PrimaryState;

/// Deletes the key and what it was granted, then waits for the fleet if asked to.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let id = request.required_id("id")?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let (head, key) = state
        .writer
        .commit("revoke-key", move |directory| {
            let key = directory.key(id)?.ok_or_else(|| ApiError::not_found("Key"))?;
            let mut changes = Vec::new();
            for grant in directory.deploy_grants(id)? {
                let grant = Entry::from_record(Record::DeployGrant((*grant).clone()))?;
                changes.push(Change::Delete(RecordIdentity::from_entry(&grant)));
            }
            changes.push(Change::Delete(RecordIdentity::Key(id)));
            Ok((changes, key))
        })
        .await?;
    tracing::warn!(key = %key.key.fingerprint(), %id, seq = head.seq, "the operator revoked key {id} ({})", key.key.fingerprint());
    let revoked = json!({"id": id, "fingerprint": key.key.fingerprint().to_string(), "user_id": key.user_id});
    let Propagation { in_force, pending, missing_hosts, answers_under_way } = state.propagation_monitor().propagation(&head, wait).await;
    let body = json!({
        "message": format!("key {id} ({}) is revoked", key.key.fingerprint()),
        "revoked": revoked,
        "head": head,
        "in_force": in_force,
        "pending": pending,
        "missing_hosts": missing_hosts,
        "answers_under_way": answers_under_way,
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
