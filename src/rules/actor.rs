//! Resolving the claimed actor of a request. The first identity that was sent counts, whether it is found or not. (server.md 1.3)

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::access_request::ClaimedActor;
use crate::model::directory::{Directory, DirectoryError};
use crate::model::enums::KeyUsage;
use crate::model::id::Id;
use crate::model::record::{Key, User};

/// Finds the actor. A key that is only for signing counts as missing. An `identifier` of `key-<n>` is the key's user; of a deploy key it
/// is the deploy key, so that nobody gets its creator's rights by it.
pub fn resolve_actor(directory: &dyn Directory, claimed_actor: &ClaimedActor) -> Result<Actor, DirectoryError> {
    match claimed_actor {
        ClaimedActor::Key(Some(id)) => match find_auth_key(directory, *id)? {
            Some(key) => actor_of_key(directory, key),
            None => Ok(Actor::Unknown),
        },
        ClaimedActor::KeyOwner(Some(id)) => match find_auth_key(directory, *id)? {
            Some(key) => Ok(match actor_of_key(directory, key)? {
                Actor::User(user, _) => Actor::User(user, None),
                Actor::OrphanedKey(_) => Actor::Unknown,
                other => other,
            }),
            None => Ok(Actor::Unknown),
        },
        ClaimedActor::User(Some(id)) => Ok(actor_of_user(directory.user(*id)?)),
        ClaimedActor::Username(name) => Ok(actor_of_user(directory.user_by_username(name)?)),
        ClaimedActor::Key(None) | ClaimedActor::KeyOwner(None) | ClaimedActor::User(None) | ClaimedActor::Unspecified => Ok(Actor::Unknown),
    }
}

fn find_auth_key(directory: &dyn Directory, id: Id) -> Result<Option<Arc<Key>>, DirectoryError> {
    Ok(directory.key(id)?.filter(|key| key.usage != KeyUsage::Signing))
}

fn actor_of_key(directory: &dyn Directory, key: Arc<Key>) -> Result<Actor, DirectoryError> {
    let user = match key.user_id {
        Some(id) => directory.user(id)?,
        None => None,
    };
    Ok(match (key.deploy, user) {
        (true, creator) => Actor::DeployKey(key, creator),
        (false, Some(user)) => Actor::User(user, Some(key)),
        (false, None) => Actor::OrphanedKey(key),
    })
}

fn actor_of_user(user: Option<Arc<User>>) -> Actor {
    user.map_or(Actor::Unknown, |user| Actor::User(user, None))
}
