//! Gives an answer from the local directory where that is allowed, and the primary's otherwise.
//!
//! A yes is given while it is fresh. A no needs more: a scan must have found the store whole, and the feed must have been caught up.
//! While the primary fails, both are given until their class expires.

use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_degraded, mark_forwarded, mark_local};
use crate::net::message::Response;
use crate::sidecar::cached_view::CachedView;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;

/// What the local directory says.
pub enum LocalAnswer {
    /// A yes, as the response that says it.
    Yes(Response),
    /// A no.
    No(Response),
    /// There is no directory to look in, or it could not be read.
    Unavailable,
}

/// Answers locally if that is allowed now, else as the primary does, and locally after all if it cannot be asked.
pub async fn answer_or_query(
    state: &SidecarState,
    view: &CachedView,
    local: LocalAnswer,
    query: UpstreamQuery,
    class: RequestClass,
    time: RequestTime,
) -> Response {
    let usable = match local {
        LocalAnswer::Yes(response) => Some(response),
        LocalAnswer::No(response) if view.may_deny() => Some(response),
        LocalAnswer::No(_) | LocalAnswer::Unavailable => None,
    };
    let stale = match usable {
        Some(response) if view.is_fresh() => return mark_local(response, view.age),
        other => other,
    };
    let fallback = stale.map(|response| mark_degraded(mark_local(response, view.age)));
    query_primary(state, query, class, time, fallback).await
}

/// Answers as the primary does; if it cannot be asked, with `fallback` or else with why not.
pub async fn query_primary(
    state: &SidecarState,
    query: UpstreamQuery,
    class: RequestClass,
    time: RequestTime,
    fallback: Option<Response>,
) -> Response {
    match state.upstream.query(query, class, time).await {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => fallback.unwrap_or_else(|| error.query_response()),
    }
}
