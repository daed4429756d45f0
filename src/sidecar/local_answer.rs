//! Gives an answer from the local directory where that is allowed, and the primary's otherwise.
//!
//! A yes is given while it is fresh; while the primary fails, until its class expires; while it is slow, after a little
//! ([`hedge`](crate::sidecar::hedge)). It is looked up anew then, since a revocation may have come while the primary was asked. A no is
//! given only while it is fresh, from a store that a scan has found whole and a feed that is caught up: above that age a key may have been
//! added that nobody here has heard of, and an outage must not look like a wrong key.

use std::sync::Arc;

use crate::api::request::RequestTime;
use crate::api::response_headers::{mark_degraded, mark_forwarded, mark_local};
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::sidecar::denials::Holder;
use crate::sidecar::hedge::{HedgedOutcome, KnownQuestion, ask_beside_held_yes, wait_limit};
use crate::sidecar::local_view::LocalView;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::query::UpstreamQuery;

/// What the local directory says.
pub enum LocalAnswer {
    /// A yes, as the response that says it, and whom it is about.
    Yes(Response, Holder),
    /// A no.
    No(Response),
    /// There is no directory to look in, or it could not be read.
    Unavailable,
}

/// A question about keys and users that the local directory may answer.
pub struct LocalQuestion<L, Q> {
    /// Looks it up.
    pub look_up: L,
    /// Builds the same question to the primary, which a fresh answer does not need.
    pub query: Q,
    /// As what the primary is asked if the local directory says no.
    pub miss_class: RequestClass,
}

/// Answers locally if that is allowed now, else as the primary does, and locally after all if it cannot be asked.
pub async fn answer_or_query<L, Q>(state: &Arc<SidecarState>, question: LocalQuestion<L, Q>, time: RequestTime) -> Response
where
    L: Fn(&LocalView) -> LocalAnswer,
    Q: Fn() -> UpstreamQuery,
{
    let view = state.local_view(FreshnessClass::Keys, time).await;
    let (holder, wait) = match (question.look_up)(&view) {
        LocalAnswer::Yes(response, holder) => match question.is_denied(state, &view, holder) {
            false if view.is_fresh() => return mark_local(response, view.age),
            false => (Some(holder), Some(wait_limit(state, &view, FreshnessClass::Keys))),
            true => (Some(holder), None),
        },
        LocalAnswer::No(response) if view.may_deny() && view.is_fresh() => return mark_local(response, view.age),
        LocalAnswer::No(_) | LocalAnswer::Unavailable => (None, None),
    };
    drop(view);
    let query = (question.query)();
    let outcome = match holder {
        Some(holder) => match ask_beside_held_yes(state, KnownQuestion { query, holder, wait }, || question.held_yes(state)).await {
            HedgedOutcome::Held(response) => return response,
            HedgedOutcome::Asked(outcome) => outcome,
        },
        None => state.upstream.query(query, question.miss_class).await,
    };
    match outcome {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => {
            question.answer_without_primary(state).unwrap_or_else(|| error.query_response(RequestSubject::Login))
        }
    }
}

impl<L: Fn(&LocalView) -> LocalAnswer, Q: Fn() -> UpstreamQuery> LocalQuestion<L, Q> {
    /// Returns whether the primary has denied what the local directory grants.
    fn is_denied(&self, state: &SidecarState, view: &LocalView, holder: Holder) -> bool {
        state.denials.denies(|| (self.query)().digest(), holder, view.exchange_proven_at)
    }

    /// Answers yes from what is known at this moment, if that is what it says.
    fn held_yes(&self, state: &SidecarState) -> Option<Response> {
        let view = state.current_view(FreshnessClass::Keys, RequestTime::now());
        let LocalAnswer::Yes(response, holder) = (self.look_up)(&view) else { return None };
        (!self.is_denied(state, &view, holder)).then(|| mark_by_age(response, &view))
    }

    /// Answers from what is known at this moment, if that may be given while the primary fails.
    fn answer_without_primary(&self, state: &SidecarState) -> Option<Response> {
        let view = state.current_view(FreshnessClass::Keys, RequestTime::now());
        match (self.look_up)(&view) {
            LocalAnswer::Yes(response, holder) if !self.is_denied(state, &view, holder) => Some(mark_by_age(response, &view)),
            LocalAnswer::No(response) if view.may_deny() && view.is_fresh() => Some(mark_local(response, view.age)),
            LocalAnswer::Yes(..) | LocalAnswer::No(_) | LocalAnswer::Unavailable => None,
        }
    }
}

/// Marks a local answer, as degraded unless it has become fresh.
pub fn mark_by_age(response: Response, view: &LocalView) -> Response {
    let response = mark_local(response, view.age);
    if view.is_fresh() { response } else { mark_degraded(response) }
}

/// Answers as the primary does; if it cannot be asked, with why not.
pub async fn query_primary(state: &SidecarState, query: UpstreamQuery, class: RequestClass, subject: RequestSubject) -> Response {
    match state.upstream.query(query, class).await {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => error.query_response(subject),
    }
}
