//! `GET /-/admin/audit`: the audit events of what was done over SSH, from a number on, oldest first. (`from`, at most `count`)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::blocking::run_blocking;
use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::extras::audit_log::{self, EventRange};
use crate::primary::state::PrimaryState;
use crate::store::error::StoreError;

/// The most events of one response.
const MAX_EVENTS_PER_RESPONSE: u64 = 1_000;

/// Answers with the events, and the range that is kept.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let from = request.number("from")?.unwrap_or(0);
    let count = request.number("count")?.unwrap_or(MAX_EVENTS_PER_RESPONSE).min(MAX_EVENTS_PER_RESPONSE);
    let private_store = state.store.private_store().clone();
    let (EventRange { first, next }, events) = run_blocking(move || {
        Ok::<_, StoreError>((audit_log::event_range(&private_store)?, audit_log::read_events(&private_store, from, count)?))
    })
    .await?;
    let events: Vec<_> = events.into_iter().map(|(number, event)| json!({"number": number, "event": event})).collect();
    Ok(Response::json(StatusCode::OK, json!({"first": first, "next": next, "events": events}).to_string()))
}
