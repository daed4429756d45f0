//! Who stands behind a claim. The first identity that was sent counts, found or not: there is no falling through. (server.md 1.3)

use std::sync::Arc;

use crate::model::directory::{Directory, Fault};
use crate::model::id::Id;
use crate::model::level::KeyUsage;
use crate::model::question::Claimant;
use crate::model::record::{Key, User};
use crate::model::verdict::Actor;

/// Finds the actor. A key that is only for signing is as good as none; an `identifier` of `key-<n>` is the key's user, but a deploy
/// key's is the deploy key, so that nobody gets its creator's rights by it.
pub fn identify(directory: &dyn Directory, claimant: &Claimant) -> Result<Actor, Fault> {
    match claimant {
        Claimant::Key(Some(id)) => match auth_key(directory, *id)? {
            Some(key) => behind(directory, key),
            None => Ok(Actor::Nobody),
        },
        Claimant::KeysUser(Some(id)) => match auth_key(directory, *id)? {
            Some(key) => Ok(match behind(directory, key)? {
                Actor::User(user, _) => Actor::User(user, None),
                Actor::Orphan(_) => Actor::Nobody,
                other => other,
            }),
            None => Ok(Actor::Nobody),
        },
        Claimant::User(Some(id)) => Ok(someone(directory.user(*id)?)),
        Claimant::Username(name) => Ok(someone(directory.user_named(name)?)),
        Claimant::Key(None) | Claimant::KeysUser(None) | Claimant::User(None) | Claimant::Nobody => Ok(Actor::Nobody),
    }
}

fn auth_key(directory: &dyn Directory, id: Id) -> Result<Option<Arc<Key>>, Fault> {
    Ok(directory.key(id)?.filter(|key| key.usage != KeyUsage::Signing))
}

fn behind(directory: &dyn Directory, key: Arc<Key>) -> Result<Actor, Fault> {
    let user = match key.user_id {
        Some(id) => directory.user(id)?,
        None => None,
    };
    Ok(match (key.deploy, user) {
        (true, creator) => Actor::DeployKey(key, creator),
        (false, Some(user)) => Actor::User(user, Some(key)),
        (false, None) => Actor::Orphan(key),
    })
}

fn someone(user: Option<Arc<User>>) -> Actor {
    user.map_or(Actor::Nobody, |user| Actor::User(user, None))
}
