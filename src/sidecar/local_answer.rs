//! Gives an answer from the local directory where that is allowed, and the primary's otherwise.
//!
//! A yes is given while it is fresh. A no needs more: a scan must have found the store whole, and the feed must have been caught up.
//! While the primary fails, both are given until their class expires; looked up anew, since a revocation may have come while it was asked.

use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_degraded, mark_forwarded, mark_local};
use crate::model::freshness::FreshnessClass;
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

impl LocalAnswer {
    /// Returns the response, if it may be given from this view at all.
    fn usable(self, view: &CachedView) -> Option<Response> {
        match self {
            Self::Yes(response) => Some(response),
            Self::No(response) if view.may_deny() => Some(response),
            Self::No(_) | Self::Unavailable => None,
        }
    }
}

/// A question about keys and users that the local directory may answer.
pub struct LocalQuestion<L> {
    /// Looks it up.
    pub look_up: L,
    /// The same question to the primary.
    pub query: UpstreamQuery,
    /// As what the primary is asked if the local directory says no.
    pub miss_class: RequestClass,
}

/// Answers locally if that is allowed now, else as the primary does, and locally after all if it cannot be asked.
pub async fn answer_or_query<L>(state: &SidecarState, question: LocalQuestion<L>, time: RequestTime) -> Response
where
    L: Fn(&CachedView) -> LocalAnswer,
{
    let LocalQuestion { look_up, query, miss_class } = question;
    let view = state.cached_view(FreshnessClass::Keys, time).await;
    let local = look_up(&view);
    let class = if matches!(local, LocalAnswer::Yes(_)) { RequestClass::Other } else { miss_class };
    if view.is_fresh()
        && let Some(response) = local.usable(&view)
    {
        return mark_local(response, view.age);
    }
    drop(view);
    match state.upstream.query(query, class).await {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => look_up_again(state, &look_up).unwrap_or_else(|| error.query_response()),
    }
}

/// Answers from what is known at this moment, if that may be given while the primary fails.
fn look_up_again(state: &SidecarState, look_up: impl Fn(&CachedView) -> LocalAnswer) -> Option<Response> {
    let view = state.current_view(FreshnessClass::Keys, RequestTime::now());
    let response = mark_local(look_up(&view).usable(&view)?, view.age);
    Some(if view.is_fresh() { response } else { mark_degraded(response) })
}

/// Answers as the primary does; if it cannot be asked, with why not.
pub async fn query_primary(state: &SidecarState, query: UpstreamQuery, class: RequestClass) -> Response {
    match state.upstream.query(query, class).await {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => error.query_response(),
    }
}
