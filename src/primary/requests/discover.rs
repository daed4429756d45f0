//! `GET internal/discover`: who is behind this key, id or name? Nobody is `null`, never 404. (server.md 2.4)

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::model::access_decision::Actor;
use crate::net::message::Response;
use crate::primary::state::PrimaryState;
use crate::rules::actor;
use crate::wire::{claimant, discover};

/// Answers with the user, or `null`.
pub async fn discover(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let claimed = claimant::parse_claimant(&call.params)?;
    let user = match actor::resolve_actor(&house.store.directory(), &claimed)? {
        Actor::User(user, _) => Some(user),
        Actor::DeployKey(_, creator) => creator,
        Actor::Unknown | Actor::OrphanedKey(_) => None,
    };
    Ok(Response::json(StatusCode::OK, discover::encode_response(user.as_deref())))
}
