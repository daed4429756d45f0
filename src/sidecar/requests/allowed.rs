//! `allowed`: may they? (server.md 2.1, 3; DESIGN: who may answer what)
//!
//! A yes to a pull, or to the check before a push, is said here, by the same rules as at the primary. A no is asked, and so is what
//! somebody asks who is not known: a grant or a key may be a moment old, the project may have moved, or the push may make it. While the
//! primary fails, a yes stands until its class expires, and a no stands where it may say that the project is there. Where it may not,
//! missing and hidden projects get the same 424, so that an outage shows nobody which private projects exist.

use std::sync::Arc;

use http::StatusCode;

use crate::api::rate_limit::RateDecision;
use crate::model::access_decision::{AccessDecision, AccessDenied, AccessEvaluation, AccessGrant, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::cached_view::CachedView;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::headers;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::sidecar::upstream::client::{self, QueryOutcome};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::wire;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;

/// Answers `POST internal/allowed`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let question = match wire::allowed::parse_forwardable_request(&params) {
        Ok(question) => question,
        Err(bad) => return bad_request_response(&bad.to_string()),
    };
    let counted = question.protocol == Protocol::Ssh && call.parts.headers.contains_key(SHELL_TOKEN_HEADER);
    let reply = if requires_primary(&question) {
        passthrough::handle(house, call).await
    } else {
        decide_or_query(house, &question, call.received_at).await
    };
    if counted { reply.with_header("enable-workhorse-circuit-breaker", "true") } else { reply }
}

/// Real changes, a quarantine, and fields that the rules do not read.
fn requires_primary(question: &AllowedRequest) -> bool {
    let pushes_unsaid = question.action == Action::ReceivePack && question.changes == RefChanges::Absent;
    question.unsupported_param.is_some() || question.env.is_some() || matches!(question.changes, RefChanges::Listed(_)) || pushes_unsaid
}

async fn decide_or_query(house: &Arc<SidecarState>, question: &AllowedRequest, moment: RequestTime) -> Response {
    let class = if question.action == Action::ReceivePack { FreshnessClass::PushPrecheck } else { FreshnessClass::Reads };
    let known = house.cached_view(class, moment).await;
    let judged = decide_locally(&known, question, moment);
    if let Some(AccessEvaluation { decision: AccessDecision::Granted(grant), found_by: FoundBy::CurrentPath, actor }) = &judged
        && known.is_fresh()
        && is_actor_resolved(actor, &question.claimed_actor)
    {
        return grant_response(house, question, grant, &known, moment);
    }
    let asked = client::UpstreamQuery {
        kind: QueryKind::Allowed,
        target: "/api/v4/internal/allowed".to_owned(),
        body: Some(wire::allowed::encode_request(question)),
    };
    match house.upstream.query(asked, RequestClass::Other, moment).await {
        QueryOutcome::Decided(decided) => headers::mark_forwarded(Response::json(decided.status, decided.body)),
        QueryOutcome::Failed(outage) => match judged {
            Some(AccessEvaluation {
                decision: AccessDecision::Granted(grant), found_by: FoundBy::CurrentPath | FoundBy::Redirect, ..
            }) => headers::mark_degraded(grant_response(house, question, &grant, &known, moment)),
            Some(AccessEvaluation { decision: AccessDecision::Denied(refusal), .. }) if refusal.status == 401 && known.may_deny() => {
                headers::mark_degraded(headers::mark_local(denial_response(&refusal), known.age))
            }
            _ => outage.query_response(),
        },
    }
}

/// Whether who asks is found, or said not to be anybody: one that is not found may be a moment old.
fn is_actor_resolved(actor: &Actor, claimant: &ClaimedActor) -> bool {
    *actor != Actor::Unknown || *claimant == ClaimedActor::Unspecified
}

/// What the rules say of what is known; `None` if nothing may be decided from it.
fn decide_locally(known: &CachedView, question: &AllowedRequest, moment: RequestTime) -> Option<AccessEvaluation> {
    let view = known.view_for_authorization()?;
    match rules::allowed::decide(&*view.directory, question, moment.wall) {
        Ok(judgement) => Some(judgement),
        Err(fault) => {
            tracing::error!(reason = %fault, "access could not be decided from what is held; asking the primary");
            None
        }
    }
}

/// A yes of our own, if it is not asked too often.
fn grant_response(
    house: &SidecarState,
    question: &AllowedRequest,
    grant: &AccessGrant,
    known: &CachedView,
    moment: RequestTime,
) -> Response {
    if is_rate_limited(house, question, grant, moment) {
        let text = r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;
        return headers::mark_local(Response::json(StatusCode::TOO_MANY_REQUESTS, text), known.age);
    }
    record_usage(house, question, &grant.actor, moment);
    headers::mark_local(Response::json(StatusCode::OK, wire::allowed::encode_granted(grant)), known.age)
}

/// Counted where the answer is made, by action, project as it was asked, and actor. (server.md 2.1)
fn is_rate_limited(house: &SidecarState, question: &AllowedRequest, grant: &AccessGrant, moment: RequestTime) -> bool {
    let limit = grant.settings.operations_per_minute;
    let actor = match &grant.actor {
        Actor::User(_, Some(key)) | Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (Some(key.id), None),
        Actor::User(user, None) => (None, Some(user.id)),
        Actor::Unknown => (None, None),
    };
    let scope = (question.action, &question.project, &question.gl_repository, actor);
    house.rate_limiter.check_and_count(scope, limit, moment.wall) == RateDecision::Exceeded
}

fn record_usage(house: &SidecarState, question: &AllowedRequest, actor: &Actor, moment: RequestTime) {
    let (user, key) = match actor {
        Actor::User(user, key) => (Some(user.id), key.as_ref().map(|key| key.id)),
        Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (None, Some(key.id)),
        Actor::Unknown => (None, None),
    };
    let user = user.filter(|_| question.action != Action::ReceivePack);
    house.usage.record(key, user, moment.wall);
}

fn denial_response(refusal: &AccessDenied) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    Response::json(status, wire::allowed::encode_refused(refusal))
}
