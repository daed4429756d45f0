//! `POST internal/allowed`: may this actor do this to this repository? (server.md 2.1, 3)
//!
//! A yes to a pull, or to the check before a push, is given here, by the same rules as at the primary. A no is the primary's to give, and so
//! is the answer to an unknown actor: a grant or a key may be a moment old, the project may have moved, or the push may create it. While the
//! primary fails, a yes is given until its class expires, and a no where it may show that the project exists. Elsewhere missing and hidden
//! projects get the same 424, so that an outage shows nobody which private projects exist.

use std::sync::Arc;

use http::StatusCode;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::rate_limit::RateDecision;
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::response_headers::{enable_circuit_breaker, mark_degraded, mark_forwarded, mark_local};
use crate::model::access_decision::{AccessDecision, AccessDenied, AccessEvaluation, AccessGrant, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::cached_view::CachedView;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{self, QueryOutcome};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::wire;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;

/// Answers a yes locally where that is allowed, else as the primary does.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let question = wire::allowed::parse_forwardable_request(&request.params)?;
    let counts_failures = question.protocol == Protocol::Ssh && request.headers.contains_key(SHELL_TOKEN_HEADER);
    let response = if requires_primary(&question) {
        passthrough::handle_question(state, request).await?
    } else {
        decide_or_query(state, &question, request.time).await
    };
    Ok(if counts_failures { enable_circuit_breaker(response) } else { response })
}

/// Returns whether only the primary may answer: real changes, a quarantine, fields that the rules do not read.
fn requires_primary(question: &AllowedRequest) -> bool {
    let is_push_without_changes = question.action == Action::ReceivePack && question.changes == RefChanges::Absent;
    question.unsupported_param.is_some()
        || question.env.is_some()
        || matches!(question.changes, RefChanges::Listed(_))
        || is_push_without_changes
}

async fn decide_or_query(state: &Arc<SidecarState>, question: &AllowedRequest, time: RequestTime) -> Response {
    let view = state.cached_view(freshness_class(question), time).await;
    if let Some(response) = answer_from_fresh_view(state, question, &view, time) {
        return response;
    }
    drop(view);
    let query = client::UpstreamQuery {
        kind: QueryKind::Allowed,
        target: "/api/v4/internal/allowed".to_owned(),
        body: Some(wire::allowed::encode_request(question)),
    };
    match state.upstream.query(query, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => answer_without_primary(state, question).unwrap_or_else(|| error.query_response()),
    }
}

fn freshness_class(question: &AllowedRequest) -> FreshnessClass {
    if question.action == Action::ReceivePack { FreshnessClass::PushPrecheck } else { FreshnessClass::Reads }
}

/// Answers yes, if that is certain enough for the primary not to be asked.
fn answer_from_fresh_view(state: &SidecarState, question: &AllowedRequest, view: &CachedView, time: RequestTime) -> Option<Response> {
    if !view.is_fresh() {
        return None;
    }
    match decide_locally(view, question, time)? {
        AccessEvaluation { decision: AccessDecision::Granted(grant), found_by: FoundBy::CurrentPath, actor }
            if is_actor_resolved(&actor, &question.claimed_actor) =>
        {
            Some(grant_response(state, question, &grant, view, time))
        }
        _ => None,
    }
}

/// Decides anew, by what is known now that the primary has failed: what was known before it was asked may have been revoked meanwhile.
fn answer_without_primary(state: &SidecarState, question: &AllowedRequest) -> Option<Response> {
    let time = RequestTime::now();
    let view = state.current_view(freshness_class(question), time);
    if let Some(response) = answer_from_fresh_view(state, question, &view, time) {
        return Some(response);
    }
    match decide_locally(&view, question, time)? {
        AccessEvaluation { decision: AccessDecision::Granted(grant), found_by: FoundBy::CurrentPath | FoundBy::Redirect, .. } => {
            Some(mark_degraded(grant_response(state, question, &grant, &view, time)))
        }
        AccessEvaluation { decision: AccessDecision::Denied(refusal), .. } if refusal.status == 401 && view.may_deny() => {
            Some(mark_degraded(mark_local(denial_response(&refusal), view.age)))
        }
        _ => None,
    }
}

/// Returns whether the actor is found, or the request names none: one that is not found may be a moment old.
fn is_actor_resolved(actor: &Actor, claimed_actor: &ClaimedActor) -> bool {
    *actor != Actor::Unknown || *claimed_actor == ClaimedActor::Unspecified
}

/// Decides by the local directory; `None` if access may not be decided from it.
fn decide_locally(view: &CachedView, question: &AllowedRequest, time: RequestTime) -> Option<AccessEvaluation> {
    let view = view.view_for_authorization()?;
    match rules::allowed::decide(&*view.directory, question, time.wall) {
        Ok(evaluation) => Some(evaluation),
        Err(error) => {
            tracing::error!(%error, "failed to decide access from the local directory, asking the primary: {error}");
            None
        }
    }
}

/// Answers yes from the local directory, or 429 if that was asked too often.
fn grant_response(state: &SidecarState, question: &AllowedRequest, grant: &AccessGrant, view: &CachedView, time: RequestTime) -> Response {
    if is_rate_limited(state, question, grant, time) {
        return mark_local(ApiError::too_many_requests().into_response(), view.age);
    }
    record_usage(state, question, &grant.actor, time);
    mark_local(Response::json(StatusCode::OK, wire::allowed::encode_granted(grant)), view.age)
}

/// Counts the operation where the answer is made, by action, project as it was sent, and actor. (server.md 2.1)
fn is_rate_limited(state: &SidecarState, question: &AllowedRequest, grant: &AccessGrant, time: RequestTime) -> bool {
    let limit = grant.settings.operations_per_minute;
    let actor = match &grant.actor {
        Actor::User(_, Some(key)) | Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (Some(key.id), None),
        Actor::User(user, None) => (None, Some(user.id)),
        Actor::Unknown => (None, None),
    };
    let scope = (question.action, &question.project, &question.gl_repository, actor);
    state.api.rate_limiter.check_and_count(scope, limit, time.wall) == RateDecision::Exceeded
}

fn record_usage(state: &SidecarState, question: &AllowedRequest, actor: &Actor, time: RequestTime) {
    let (user, key) = match actor {
        Actor::User(user, key) => (Some(user.id), key.as_ref().map(|key| key.id)),
        Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (None, Some(key.id)),
        Actor::Unknown => (None, None),
    };
    let user = user.filter(|_| question.action != Action::ReceivePack);
    state.usage.record(key, user, time.wall);
}

fn denial_response(refusal: &AccessDenied) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    Response::json(status, wire::allowed::encode_refused(refusal))
}
