//! `GET internal/discover`: who is behind this key, id or name? Nobody is `null`, never 404. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::Answered;
use crate::model::verdict::Actor;
use crate::net::message::Reply;
use crate::rules::actor;
use crate::wire::{answer, claimant};

/// Answers with the user, or `null`.
pub async fn discover(house: &Arc<Authority>, call: Call) -> Answered {
    let claimed = claimant::read(&call.params)?;
    let user = match actor::identify(&house.store.directory(), &claimed)? {
        Actor::User(user, _) => Some(user),
        Actor::DeployKey(_, creator) => creator,
        Actor::Nobody | Actor::Orphan(_) => None,
    };
    Ok(Reply::json(StatusCode::OK, answer::discover(user.as_deref())))
}
