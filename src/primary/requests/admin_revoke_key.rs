//! `POST /-/admin/revoke-key`: a key is deleted, and held against later directory files; the response says on which hosts that is in
//! force. (one of `id`, `fingerprint` and, for all keys of a user, `username`; `wait` in seconds)

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Change;
use crate::model::entry::Entry;
use crate::model::id::Id;
use crate::model::key::Fingerprint;
use crate::model::record::{Key, Record};
use crate::model::record_identity::RecordIdentity;
use crate::model::sort_key::SortKey;
use crate::primary::directory::revocations::{self, Order, Revocations};
use crate::primary::replication::propagation;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::Generation;
use crate::store::pages::index::IndexKey;
use crate::store::primary::private_store::PrivateStore;

/// Deletes the key, or all keys of a user, and what they were granted, then waits for the fleet if asked to. What is revoked already is waited
/// for all the same.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let target = parse_target(&request)?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let (private_store, order) = (state.store.private_store().clone(), Order::of(&request.peer, request.time.wall));
    let (head, revoked) = state.writer.revoke("revoke-key", move |directory| revoke(directory, &private_store, &target, order)).await?;
    let message = revoked.message();
    tracing::warn!(seq = head.seq, "the operator revoked {}", revoked.named());
    let propagation = state.propagation_monitor().propagation(&head, wait).await;
    Ok(propagation.revocation_response(message, "revoked", revoked.to_json(), head))
}

/// What is to be revoked.
enum Target {
    Key(Id),
    Fingerprint(Fingerprint),
    KeysOf(String),
}

fn parse_target(request: &ApiRequest) -> Result<Target, ApiError> {
    let text = |name: &str| Ok::<_, ApiError>(request.params.text(name)?.filter(|text| !text.is_empty()));
    match (request.params.id("id")?, text("fingerprint")?, text("username")?) {
        (Some(id), None, None) => Ok(Target::Key(id)),
        (None, Some(fingerprint), None) => Fingerprint::parse(&fingerprint)
            .map(Target::Fingerprint)
            .ok_or_else(|| ApiError::bad_request("fingerprint is `SHA256:` and 43 characters of Base64, as `ssh-keygen -l` prints it")),
        (None, None, Some(username)) => Ok(Target::KeysOf(username)),
        (None, None, None) => Err(ApiError::missing_parameter("id")),
        _ => Err(ApiError::bad_request("only one of id, fingerprint and username says what is revoked")),
    }
}

/// What was revoked.
enum Revoked {
    Key(RevokedNow),
    KeysOf { user_id: Id, username: String, keys: Vec<RevokedNow> },
}

struct RevokedNow {
    id: Id,
    fingerprint: Fingerprint,
    /// Its owner; `None` for a deploy key, and for a key that was revoked before.
    user_id: Option<Id>,
}

impl Revoked {
    /// Returns what was revoked, as the log has it.
    fn named(&self) -> String {
        match self {
            Self::Key(key) => key.named(),
            Self::KeysOf { username, keys, .. } if keys.is_empty() => format!("nothing, because {username} has no keys"),
            Self::KeysOf { username, keys, .. } => {
                format!("all keys of {username}: {}", keys.iter().map(RevokedNow::named).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Key(key) => format!("{} is revoked", key.named()),
            Self::KeysOf { username, keys, .. } if keys.is_empty() => format!("user {username} has no keys"),
            Self::KeysOf { username, keys, .. } => {
                format!("all keys of {username} are revoked: {}", keys.iter().map(RevokedNow::named).collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn to_json(&self) -> Value {
        let key_json = |key: &RevokedNow| json!({"id": key.id, "fingerprint": key.fingerprint.to_string(), "user_id": key.user_id});
        match self {
            Self::Key(key) => key_json(key),
            Self::KeysOf { user_id, username, keys } => {
                json!({"user_id": user_id, "username": username, "keys": keys.iter().map(key_json).collect::<Vec<_>>()})
            }
        }
    }
}

fn revoke(directory: &Generation, private_store: &PrivateStore, target: &Target, order: Order) -> Result<(Vec<Change>, Revoked), ApiError> {
    let entry = match target {
        Target::Key(id) => directory.entry(&RecordIdentity::Key(*id))?,
        Target::Fingerprint(fingerprint) => directory.load_entry(&SortKey::key(fingerprint))?,
        Target::KeysOf(username) => return revoke_keys_of(directory, private_store, username, order),
    };
    if let Some(Record::Key(key)) = entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) {
        let changes = revocations::revoke_keys(directory, private_store, &[key], &order)?;
        return Ok((changes, Revoked::Key(RevokedNow::of(key))));
    }
    let (fingerprint, id) = match target {
        Target::Key(id) => revocations::find_key(private_store, *id)?.map(|fingerprint| (fingerprint, *id)),
        Target::Fingerprint(fingerprint) => Revocations::load(private_store)?.keys.get(fingerprint).map(|mark| (*fingerprint, mark.id)),
        Target::KeysOf(_) => None,
    }
    .ok_or_else(|| ApiError::not_found("Key"))?;
    Ok((Vec::new(), Revoked::Key(RevokedNow { id, fingerprint, user_id: None })))
}

fn revoke_keys_of(
    directory: &Generation,
    private_store: &PrivateStore,
    username: &str,
    order: Order,
) -> Result<(Vec<Change>, Revoked), ApiError> {
    let entry = directory.load_entry_by_index(&IndexKey::by_username(username))?;
    let Some(Record::User(user)) = entry.as_ref().and_then(Entry::record).map(AsRef::as_ref) else {
        return Err(ApiError::not_found("User"));
    };
    let mut keys: Vec<Key> = Vec::new();
    directory.for_each_record_with_prefix(&SortKey::keys_prefix(), |record| match record {
        Record::Key(key) if key.user_id == Some(user.id) => keys.push(key.clone()),
        _ => {}
    })?;
    keys.sort_by_key(|key| key.id);
    let changes = revocations::revoke_keys(directory, private_store, &keys.iter().collect::<Vec<_>>(), &order)?;
    let keys = keys.iter().map(RevokedNow::of).collect();
    Ok((changes, Revoked::KeysOf { user_id: user.id, username: user.username.to_string(), keys }))
}

impl RevokedNow {
    fn named(&self) -> String {
        format!("key {} ({})", self.id, self.fingerprint)
    }

    fn of(key: &Key) -> Self {
        Self { id: key.id, fingerprint: key.key.fingerprint(), user_id: key.user_id }
    }
}
