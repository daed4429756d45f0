//! `POST internal/allowed`: may this actor do this to this repository? (server.md 2.1, 3)
//!
//! A yes to a pull, or to the check before a push, is given here, by the same rules as at the primary. A no is the primary's to give, and so
//! is the answer to an unknown actor: a grant or a key may be a moment old, the project may have moved, or the push may create it. While the
//! primary fails, a yes is given until its class expires, and a no where it may show that the project exists. Elsewhere missing and hidden
//! projects get the same 424, so that an outage shows nobody which private projects exist.
//!
//! In front of a primary without a feed, its own yes is kept and given again ([`kept_answer`]).

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult, TOO_MANY_REQUESTS_MESSAGE};
use crate::api::rate_limit::RateDecision;
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::request_id::RequestId;
use crate::api::response_headers::{ANSWER_HEADER, CACHED_ANSWER, enable_circuit_breaker, mark_degraded, mark_forwarded, mark_local};
use crate::model::access_decision::{AccessDecision, AccessDenied, AccessEvaluation, AccessGrant, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::freshness::FreshnessClass;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::denials::Holder;
use crate::sidecar::hedge::{HedgedOutcome, KnownQuestion, ask_beside_held_yes, wait_limit};
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept_answer;
use crate::sidecar::local_answer::query_primary;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::availability::RequestSubject;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::{TimeLimit, UpstreamQuery};
use crate::wire;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;

/// Answers a yes locally where that is allowed, else as the primary does.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let question = wire::allowed::parse_forwardable_request(&request.params)?;
    let counts_failures = question.protocol == Protocol::Ssh && request.headers.contains_key(SHELL_TOKEN_HEADER);
    let response = if requires_primary(&question) {
        passthrough::handle_question(state, request).await?
    } else {
        decide_or_query(state, &question, &request.id, request.time).await
    };
    let response = refuse_beyond_limit(response);
    Ok(if counts_failures { enable_circuit_breaker(response) } else { response })
}

/// Turns a 429, ours or the primary's, into a refusal with GitLab's sentence: gitlab-shell asks three times on a 429, waits 3 s, and then
/// shows another sentence. (client.md 1.9)
fn refuse_beyond_limit(response: Response) -> Response {
    if response.status != StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    let body = json!({"status": false, "message": TOO_MANY_REQUESTS_MESSAGE}).to_string();
    Response { headers: response.headers, ..Response::json(StatusCode::UNAUTHORIZED, body) }
}

/// Returns whether only the primary may answer: real changes, a quarantine, fields that the rules do not read.
fn requires_primary(question: &AllowedRequest) -> bool {
    let is_push_without_changes = question.action == Action::ReceivePack && question.changes == RefChanges::Absent;
    question.unsupported_param.is_some()
        || question.env.is_some()
        || matches!(question.changes, RefChanges::Listed(_))
        || is_push_without_changes
}

async fn decide_or_query(state: &Arc<SidecarState>, question: &AllowedRequest, id: &RequestId, time: RequestTime) -> Response {
    let local = LocalDecisions { state, question, id, class: freshness_class(question) };
    if let Some(kept) = &state.kept {
        return match KeptQuestion::allowed(question, kept.answers.check_ip, local.query()) {
            Some(kept_question) => {
                let key = kept_question.asking_key();
                let response = kept_answer::answer(state, kept, kept_question, time).await;
                if state.mirror.is_some() && response.status.is_success() {
                    state.usage.record_key(key, time);
                }
                limit_kept_answers(state, question, response, time)
            }
            None => query_primary(state, local.query_without_yes(), local.class_without_yes(), subject(question)).await,
        };
    }
    let view = state.local_view(local.class, time).await;
    if let Some(response) = local.fresh_grant(&view, time) {
        return response;
    }
    let known = local.known_question(&view, time);
    drop(view);
    let outcome = match known {
        Some(known) => match ask_beside_held_yes(state, known, || local.held_grant()).await {
            HedgedOutcome::Held(response) => return response,
            HedgedOutcome::Asked(outcome) => outcome,
        },
        None => state.upstream.query(local.query_without_yes(), local.class_without_yes()).await,
    };
    match outcome {
        QueryOutcome::Decided(decision) => mark_forwarded(Response::json(decision.status, decision.body)),
        QueryOutcome::Failed(error) => local.answer_without_primary().unwrap_or_else(|| error.query_response(subject(question))),
    }
}

fn freshness_class(question: &AllowedRequest) -> FreshnessClass {
    if question.action == Action::ReceivePack { FreshnessClass::PushPrecheck } else { FreshnessClass::Reads }
}

const fn subject(question: &AllowedRequest) -> RequestSubject {
    match question.action {
        Action::ReceivePack => RequestSubject::Push,
        Action::UploadPack | Action::UploadArchive | Action::Unknown => RequestSubject::Read,
    }
}

/// What the local directory says to one question, at different moments.
struct LocalDecisions<'a> {
    state: &'a SidecarState,
    question: &'a AllowedRequest,
    id: &'a RequestId,
    class: FreshnessClass,
}

impl LocalDecisions<'_> {
    fn is_push(&self) -> bool {
        self.question.action == Action::ReceivePack
    }

    /// Returns as what the question is asked where no yes may be given here: a push may take as long as what is passed through.
    fn class_without_yes(&self) -> RequestClass {
        if self.is_push() { RequestClass::PassedThrough } else { RequestClass::Other }
    }

    /// Returns the question as the primary is asked it, which a fresh answer does not need.
    fn query(&self) -> UpstreamQuery {
        let query = UpstreamQuery::post(QueryKind::Allowed, "/api/v4/internal/allowed", wire::allowed::encode_request(self.question));
        UpstreamQuery { may_have_effect: self.is_push(), ..query }.asked_for(self.id)
    }

    /// Returns the question where no yes may be given here, so that the primary is waited for: a push may create its project, which takes a
    /// while.
    fn query_without_yes(&self) -> UpstreamQuery {
        UpstreamQuery { time_limit: if self.is_push() { TimeLimit::ForwardTimeout } else { TimeLimit::Timeout }, ..self.query() }
    }

    /// Answers yes, if that is certain enough for the primary not to be asked.
    fn fresh_grant(&self, view: &LocalView, time: RequestTime) -> Option<Response> {
        if !view.is_fresh() {
            return None;
        }
        let evaluation = decide_locally(view, self.question, time)?;
        let grant = self.certain_grant(&evaluation).filter(|grant| !self.is_denied(view, grant))?;
        Some(grant_response(self.state, self.question, grant, view, time))
    }

    /// Returns the question as one to which this host has a yes, if it does.
    fn known_question(&self, view: &LocalView, time: RequestTime) -> Option<KnownQuestion> {
        let evaluation = decide_locally(view, self.question, time)?;
        let AccessDecision::Granted(grant) = &evaluation.decision else { return None };
        let may_be_given = self.certain_grant(&evaluation).is_some() && !self.is_denied(view, grant);
        let wait = may_be_given.then(|| wait_limit(self.state, view, self.class));
        let query = if may_be_given { self.query() } else { self.query_without_yes() };
        Some(KnownQuestion { query, holder: Holder::of(&grant.actor), wait })
    }

    /// Answers yes by what is known at this moment, without the primary's answer.
    fn held_grant(&self) -> Option<Response> {
        let time = RequestTime::now();
        let view = self.state.current_view(self.class, time);
        let evaluation = decide_locally(&view, self.question, time)?;
        let grant = self.certain_grant(&evaluation).filter(|grant| !self.is_denied(&view, grant))?;
        Some(self.grant_by_age(grant, &view, time))
    }

    /// Decides anew, by what is known now that the primary has failed: what was known before it was asked may have been revoked meanwhile.
    fn answer_without_primary(&self) -> Option<Response> {
        let time = RequestTime::now();
        let view = self.state.current_view(self.class, time);
        let evaluation = decide_locally(&view, self.question, time)?;
        match &evaluation.decision {
            AccessDecision::Granted(grant) if self.is_denied(&view, grant) => None,
            AccessDecision::Granted(grant) if self.certain_grant(&evaluation).is_some() => Some(self.grant_by_age(grant, &view, time)),
            AccessDecision::Granted(grant) if matches!(evaluation.found_by, FoundBy::CurrentPath | FoundBy::Redirect) => {
                Some(mark_degraded(grant_response(self.state, self.question, grant, &view, time)))
            }
            AccessDecision::Denied(refusal) if refusal.status == 401 && view.may_deny() => {
                Some(mark_degraded(mark_local(denial_response(refusal), view.age)))
            }
            _ => None,
        }
    }

    /// Returns the grant of a repository that was found by its present path, to an actor who is known.
    fn certain_grant<'b>(&self, evaluation: &'b AccessEvaluation) -> Option<&'b AccessGrant> {
        match &evaluation.decision {
            AccessDecision::Granted(grant)
                if evaluation.found_by == FoundBy::CurrentPath && is_actor_resolved(&evaluation.actor, &self.question.claimed_actor) =>
            {
                Some(grant)
            }
            _ => None,
        }
    }

    /// Returns whether the primary has denied what the local directory grants.
    fn is_denied(&self, view: &LocalView, grant: &AccessGrant) -> bool {
        self.state.denials.denies(|| self.query().digest(), Holder::of(&grant.actor), view.exchange_proven_at)
    }

    /// Answers yes, marked as degraded unless the view has become fresh.
    fn grant_by_age(&self, grant: &AccessGrant, view: &LocalView, time: RequestTime) -> Response {
        let response = grant_response(self.state, self.question, grant, view, time);
        if view.is_fresh() { response } else { mark_degraded(response) }
    }
}

/// Returns whether the actor is found, or the request names none: one that is not found may be a moment old.
fn is_actor_resolved(actor: &Actor, claimed_actor: &ClaimedActor) -> bool {
    *actor != Actor::Unknown || *claimed_actor == ClaimedActor::Unspecified
}

/// Decides by the local directory; `None` if access may not be decided from it.
fn decide_locally(view: &LocalView, question: &AllowedRequest, time: RequestTime) -> Option<AccessEvaluation> {
    let view = view.view_for_authorization()?;
    match rules::allowed::decide(&*view.directory, question, time.wall) {
        Ok(evaluation) => Some(evaluation),
        Err(error) => {
            tracing::error!(%error, "failed to decide access from the local directory, asking the primary: {error}");
            None
        }
    }
}

/// Answers yes from the local directory, or 429 if that was asked too often, which [`refuse_beyond_limit`] turns into a refusal.
fn grant_response(state: &SidecarState, question: &AllowedRequest, grant: &AccessGrant, view: &LocalView, time: RequestTime) -> Response {
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

/// Counts an answer of a GitLab that was kept, by who asks as they say it: the GitLab has not counted it. What it answered just now it has.
fn limit_kept_answers(state: &SidecarState, question: &AllowedRequest, response: Response, time: RequestTime) -> Response {
    if response.headers.get(ANSWER_HEADER) != Some(&CACHED_ANSWER) {
        return response;
    }
    let scope = (question.action, &question.project, &question.gl_repository, &question.claimed_actor);
    match state.api.rate_limiter.check_and_count(scope, state.config.operations_per_minute, time.wall) {
        RateDecision::Allowed => response,
        RateDecision::Exceeded => Response { headers: response.headers, ..ApiError::too_many_requests().into_response() },
    }
}

fn record_usage(state: &SidecarState, question: &AllowedRequest, actor: &Actor, time: RequestTime) {
    let (user, key) = match actor {
        Actor::User(user, key) => (Some(user.id), key.as_ref().map(|key| key.id)),
        Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => (None, Some(key.id)),
        Actor::Unknown => (None, None),
    };
    let user = user.filter(|_| question.action != Action::ReceivePack);
    state.usage.record(key, user, time);
}

fn denial_response(refusal: &AccessDenied) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    Response::json(status, wire::allowed::encode_refused(refusal))
}
