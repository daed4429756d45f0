//! `POST /-/admin/revoke-key`: a key goes, and it is said where it is gone. (`id`, `wait` in seconds)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::force::{self, Force};
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::write::commit;
use crate::model::change::{Change, Identity};
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::record::Record;
use crate::net::message::Reply;

/// Deletes the key and what it was granted, then waits for the fleet if asked to.
pub async fn revoke_key(house: &Arc<Authority>, call: Call) -> Answered {
    let id = call.id("id")?;
    let wait = force::wait_asked(&call)?;
    let (head, key) = commit(house, "revoke-key", move |directory| {
        let key = directory.key(id)?.ok_or_else(|| Refusal::not_found("Key"))?;
        let mut changes = Vec::new();
        for grant in directory.deploy_grants(id)? {
            let grant = Entry::of(Record::DeployGrant((*grant).clone()))?;
            changes.push(Change::Delete(Identity::of(&grant)));
        }
        changes.push(Change::Delete(Identity::Key(id)));
        Ok((changes, key))
    })
    .await?;
    tracing::warn!(key = %key.key.fingerprint(), %id, seq = head.seq, "the operator revoked a key");
    let revoked = json!({"id": id, "fingerprint": key.key.fingerprint().to_string(), "user_id": key.user_id});
    let Force { in_force, pending } = force::told(house, &head, wait).await;
    let body = json!({
        "message": format!("key {id} ({}) is revoked", key.key.fingerprint()),
        "revoked": revoked,
        "head": head,
        "in_force": in_force,
        "pending": pending,
    });
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}
