//! Who asks for recovery codes or tokens: by a key, whose owner gets them, or (where that is enough) by a user's id. What is wrong with it
//! is answered with status 200, in GitLab's order and words. (server.md 2.6, 2.7, 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::access_decision::Actor;
use crate::model::access_request::ClaimedActor;
use crate::model::directory::Directory as _;
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::state::PrimaryState;
use crate::rules::actor::resolve_actor;
use crate::rules::{account, key_rules};
use crate::store::generations::generation::Generation;
use crate::wire::claimant;

/// Who asks.
#[derive(Clone, Debug)]
pub enum Requester {
    /// The owner of the key. `allowed` may refuse the key: sshd accepts it, so that the user is told why.
    KeyOwner(Arc<User>, Arc<Key>),
    /// The user of a `user_id`, without a key.
    User(Arc<User>),
    /// A deploy key.
    DeployKey,
    /// Nobody; with the message that says why.
    NotFound(&'static str),
}

/// The message for a key that is not found, and for a request without a key.
pub const KEY_NOT_FOUND: &str = "Could not find the given key";

/// Finds out who asks, and notes that the key was used.
pub fn find_requester(state: &PrimaryState, request: &ApiRequest) -> Result<Requester, ApiError> {
    let claimant = claimant::parse_claimant(&request.params)?;
    let actor = resolve_actor(&state.store.directory(), &claimant)?;
    if let Actor::User(_, Some(key)) | Actor::OrphanedKey(key) | Actor::DeployKey(key, _) = &actor {
        state.last_used.record(LastUsedSubject::Key(key.id), request.time.wall);
    }
    let by_user = request.params.text("user_id")?.is_some();
    Ok(requester_of(actor, &claimant, by_user))
}

fn requester_of(actor: Actor, claimant: &ClaimedActor, by_user: bool) -> Requester {
    match actor {
        Actor::DeployKey(..) => Requester::DeployKey,
        Actor::User(user, Some(key)) => Requester::KeyOwner(user, key),
        Actor::User(user, None) if by_user && matches!(claimant, ClaimedActor::User(_)) => Requester::User(user),
        Actor::OrphanedKey(_) | Actor::Unknown if by_user => Requester::NotFound("Could not find the given user"),
        Actor::OrphanedKey(_) => Requester::NotFound("Could not find a user for the given key"),
        Actor::User(_, None) | Actor::Unknown => Requester::NotFound(KEY_NOT_FOUND),
    }
}

/// Returns whether the directory, read again, still has the user and the key that asked, and both may be used: then what was asked for may
/// be stored for the user. Called where nothing can be removed before it is stored.
pub fn is_still_entitled(directory: &Generation, user: &User, key: Option<&Key>, now: Time) -> Result<bool, ApiError> {
    let settings = directory.settings()?;
    let Some(present) = directory.user(user.id)?.filter(|present| present.username == user.username) else { return Ok(false) };
    if account::account_refusal(&present, &settings, now).is_some() {
        return Ok(false);
    }
    let Some(key) = key else { return Ok(true) };
    let present = directory.key_by_fingerprint(&key.key.fingerprint())?;
    Ok(present.is_some_and(|present| present.user_id == Some(user.id) && key_rules::key_refusal(&present, &settings, now).is_none()))
}

/// Answers with status 200 that the request failed.
pub fn failure_response(text: &str) -> HandlerResult {
    Ok(Response::json(StatusCode::OK, json!({"success": false, "message": text}).to_string()))
}
