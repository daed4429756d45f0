//! `GET /-/admin/audit`: what is kept of what was done over SSH, from a number on, oldest first. (`from`, at most `count`)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::audit::{self, Span};
use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::refusal::Answered;
use crate::net::message::Reply;
use crate::store::generation::Damage;

/// Most events of one answer.
const COUNT: u64 = 1_000;

/// Answers with the events, and which are kept.
pub async fn audit(house: &Arc<Authority>, call: Call) -> Answered {
    let from = call.number("from")?.unwrap_or(0);
    let count = call.number("count")?.unwrap_or(COUNT).min(COUNT);
    let ledger = house.store.ledger().clone();
    let (Span { first, next }, events) =
        blocking(move || Ok::<_, Damage>((audit::span(&ledger)?, audit::read(&ledger, from, count)?))).await?;
    let events: Vec<_> = events.into_iter().map(|(number, event)| json!({"number": number, "event": event})).collect();
    Ok(Reply::json(StatusCode::OK, json!({"first": first, "next": next, "events": events}).to_string()))
}
