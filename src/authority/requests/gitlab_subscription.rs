//! `namespaces/:id/gitlab_subscription`: reading, making and changing a namespace's subscription; the same below
//! `internal/gitlab_subscriptions/`. (server.md 2.14)

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use crate::authority::authority::Authority;
use crate::authority::billing::declared::{Complaints, Declared};
use crate::authority::billing::namespace::{Standing, named, standing};
use crate::authority::billing::seats;
use crate::authority::billing::subscription::{self, Spelled, Subscription};
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::credentials::holder::{administrator, identify};
use crate::authority::credentials::scope::Scope;
use crate::authority::refusal::{Answered, Refusal};
use crate::model::record::Namespace;
use crate::model::time::Time;
use crate::net::message::Reply;

/// Answers an owner or an administrator; with nothing but `null` where there is no subscription.
pub async fn read(house: &Arc<Authority>, call: Call) -> Answered {
    let holder = identify(house, &call).await?;
    holder.is_for(&[Scope::Api, Scope::ReadApi])?;
    let namespace = named(house, &call)?;
    match standing(&house.store.directory(), &holder, &namespace, call.now)? {
        Standing::Owner => {}
        Standing::Onlooker => return Err(Refusal::new(StatusCode::FORBIDDEN, "403 Forbidden")),
        Standing::Stranger => return Err(Refusal::not_found("Namespace")),
    }
    let (house, now) = (Arc::clone(house), call.now);
    let body = blocking(move || match subscription::read(house.store.ledger(), namespace.id)? {
        Some(found) => spelled(&house, &found, &namespace, Spelled::Read, now),
        None => Ok(subscription::none()),
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}

/// Makes it: 201.
pub async fn create(house: &Arc<Authority>, call: Call) -> Answered {
    administrator(house, &call).await?;
    let namespace = named(house, &call)?;
    let mut complaints = Complaints::default();
    let mut declared = Declared::of(&call.params, &mut complaints);
    declared.must_have(&["start_date"]);
    let asked = Subscription::asked(&mut declared, call.now);
    complaints.none()?;
    let (house, now) = (Arc::clone(house), call.now);
    let body = blocking(move || {
        subscription::create(house.store.ledger(), namespace.id, &asked)?;
        tracing::info!(namespace = %namespace.id, "a subscription was made");
        spelled(&house, &asked, &namespace, Spelled::Written, now)
    })
    .await?;
    Ok(Reply::json(StatusCode::CREATED, body.to_string()))
}

/// Changes what is given.
pub async fn update(house: &Arc<Authority>, call: Call) -> Answered {
    administrator(house, &call).await?;
    let namespace = named(house, &call)?;
    let house = Arc::clone(house);
    let body = blocking(move || {
        let changed = subscription::update(house.store.ledger(), namespace.id, call.now, |subscription| {
            let mut complaints = Complaints::default();
            subscription.change(&mut Declared::of(&call.params, &mut complaints));
            complaints.none()
        })?;
        tracing::info!(namespace = %namespace.id, "a subscription was changed");
        spelled(&house, &changed, &namespace, Spelled::Written, call.now)
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}

fn spelled(house: &Authority, found: &Subscription, namespace: &Namespace, as_what: Spelled, now: Time) -> Result<Value, Refusal> {
    Ok(found.spelled(seats::in_use(&house.store.directory(), namespace, now)?, as_what))
}
