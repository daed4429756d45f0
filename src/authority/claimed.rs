//! Who asks for codes or tokens: by a key, whose owner gets them, or (where that is enough) by the number of a person. What is
//! wrong with it is said with status 200, in GitLab's order and words. (server.md 2.6, 2.7, 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::usage::Used;
use crate::model::question::Claimant;
use crate::model::record::{Key, User};
use crate::model::verdict::Actor;
use crate::net::message::Reply;
use crate::rules::actor::identify;
use crate::wire::claimant;

/// Who was found.
#[derive(Clone, Debug)]
pub enum Claimed {
    /// The owner of the key. It may be one that `allowed` refuses: sshd lets it in, so that the person is told why.
    ByKey(Arc<User>, Arc<Key>),
    /// The person of a `user_id`, without a key.
    ById(Arc<User>),
    /// A deploy key.
    DeployKey,
    /// Nobody, and why.
    Nobody(&'static str),
}

/// A key that is not there, and what is asked without one.
pub const NO_KEY: &str = "Could not find the given key";

/// Finds who asks, and notes that the key was used.
pub fn claimed(house: &Authority, call: &Call) -> Result<Claimed, Refusal> {
    let claimant = claimant::read(&call.params)?;
    let actor = identify(&house.store.directory(), &claimant)?;
    if let Actor::User(_, Some(key)) | Actor::Orphan(key) | Actor::DeployKey(key, _) = &actor {
        house.usage.note(Used::Key(key.id), call.now);
    }
    let by_user = call.params.text("user_id")?.is_some();
    Ok(match actor {
        Actor::DeployKey(..) => Claimed::DeployKey,
        Actor::User(user, Some(key)) => Claimed::ByKey(user, key),
        Actor::User(user, None) if by_user && matches!(claimant, Claimant::User(_)) => Claimed::ById(user),
        Actor::Orphan(_) | Actor::Nobody if by_user => Claimed::Nobody("Could not find the given user"),
        Actor::Orphan(_) => Claimed::Nobody("Could not find a user for the given key"),
        Actor::User(_, None) | Actor::Nobody => Claimed::Nobody(NO_KEY),
    })
}

/// The answer to what cannot be done.
pub fn failed(text: &str) -> Answered {
    Ok(Reply::json(StatusCode::OK, json!({"success": false, "message": text}).to_string()))
}
