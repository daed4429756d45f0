//! `discover`: which user is behind a key, an id or a name? (server.md 2.4)

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::access_request::ClaimedActor;
use crate::model::directory::{Directory, DirectoryError};
use crate::model::record::User;
use crate::rules::actor::resolve_actor;

/// Finds the user. Behind a deploy key is who made it; behind a key whose owner is gone is nobody.
pub fn decide(directory: &dyn Directory, claimed_actor: &ClaimedActor) -> Result<Option<Arc<User>>, DirectoryError> {
    Ok(match resolve_actor(directory, claimed_actor)? {
        Actor::User(user, _) => Some(user),
        Actor::DeployKey(_, creator) => creator,
        Actor::Unknown | Actor::OrphanedKey(_) => None,
    })
}
