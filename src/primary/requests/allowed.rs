//! `POST internal/allowed`: may this actor do this to this repository? (server.md 2.1, 3)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::rate_limit::RateDecision;
use crate::api::request::ApiRequest;
use crate::api::response_headers::enable_circuit_breaker;
use crate::model::access_decision::{AccessDecision, AccessDenied, AccessEvaluation, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, Protocol};
use crate::model::directory::Directory as _;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::pushes::create_project::{create_project, remote_url};
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::state::PrimaryState;
use crate::rules::allowed::decide;
use crate::rules::refusal_reason::RefusalReason;
use crate::rules::repository::normalize_path;
use crate::wire::allowed;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;
use crate::wire::gitaly_client_context::{ScopedUser, parse_scoped_user};

/// Answers with the grant or the refusal, and does what GitLab does beside it.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    if allowed::names_kerberos_principal(&request.params) {
        return refusal_response(&RefusalReason::KerberosPrincipal.to_refusal());
    }
    let question = allowed::parse_request(&request.params)?;
    refuse_scoped_user(state, &request)?;
    check_rate_limit(state, &question, request.time.wall)?;
    let evaluation = decide_or_create(state, &question, request.time.wall).await?;
    record_key_use(state, &evaluation.actor, request.time.wall);
    queue_moved_message(state, &question, &evaluation, request.time.wall).await?;
    let response = build_response(state, &question, evaluation, request.time.wall)?;
    let counts_failures = question.protocol == Protocol::Ssh && request.headers.contains_key(SHELL_TOKEN_HEADER);
    Ok(if counts_failures { enable_circuit_breaker(response) } else { response })
}

/// Refuses a service account that acts for a person: it may do what both may, which is not decided here.
fn refuse_scoped_user(state: &PrimaryState, request: &ApiRequest) -> Result<(), ApiError> {
    let Some(ScopedUser(id)) = parse_scoped_user(&request.params)? else { return Ok(()) };
    let user = id.map_or(Ok(None), |id| state.store.directory().user(id))?;
    user.ok_or_else(|| ApiError::not_found("User"))?;
    Err(ApiError::bad_request("gitaly_client_context_bin names a user to act for, which this primary does not decide; leave that out"))
}

/// Decides; for a push that creates a project, after it was created.
async fn decide_or_create(state: &Arc<PrimaryState>, question: &AllowedRequest, now: Time) -> Result<AccessEvaluation, ApiError> {
    let evaluation = decide(&state.store.directory(), question, now)?;
    if !matches!(evaluation.decision, AccessDecision::CreatesProject(_)) {
        return Ok(evaluation);
    }
    create_project(state.project_creator(), question).await?;
    let evaluation = decide(&state.store.directory(), question, now)?;
    match evaluation.decision {
        AccessDecision::CreatesProject(_) => Err(gone_again()),
        AccessDecision::Granted(_) | AccessDecision::Denied(_) => Ok(evaluation),
    }
}

/// 422: the project was created, and an operator's file has removed it before this answer.
fn gone_again() -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "Could not create project: it was removed again meanwhile. Please push again.")
}

fn build_response(state: &PrimaryState, question: &AllowedRequest, evaluation: AccessEvaluation, now: Time) -> HandlerResult {
    match evaluation.decision {
        AccessDecision::Denied(refusal) => refusal_response(&refusal),
        AccessDecision::Granted(grant) => {
            record_activity(state, question, &grant.actor, now);
            Ok(Response::json(StatusCode::OK, allowed::encode_granted(&grant)))
        }
        AccessDecision::CreatesProject(_) => Err(gone_again()),
    }
}

fn refusal_response(refusal: &AccessDenied) -> HandlerResult {
    let status = StatusCode::from_u16(refusal.status).map_err(ApiError::internal)?;
    Ok(Response::json(status, allowed::encode_refused(refusal)))
}

/// Queues a message with the present path for a user who was let in by a former one.
async fn queue_moved_message(
    state: &Arc<PrimaryState>,
    question: &AllowedRequest,
    evaluation: &AccessEvaluation,
    now: Time,
) -> Result<(), ApiError> {
    let (AccessDecision::Granted(grant), FoundBy::Redirect) = (&evaluation.decision, evaluation.found_by) else {
        return Ok(());
    };
    let (Actor::User(user, _), Some(former)) = (&grant.actor, &question.project) else {
        return Ok(());
    };
    let (former, path) = (normalize_path(former), grant.repository.path());
    let remote = remote_url(&grant.settings, &path, &question.protocol);
    let text =
        format!("Project '{former}' was moved to '{path}'.\n\nPlease update your Git remote:\n\n  git remote set-url origin {remote}");
    let (store, user, gl_repository) = (state.store.clone(), user.id, grant.repository.gl_repository());
    run_blocking(move || messages::queue(&store, user, &gl_repository, MessageKind::Moved, text, now)).await
}

/// Counts the request per action, project as it was sent and actor. 429 if that is more than the settings allow.
fn check_rate_limit(state: &PrimaryState, question: &AllowedRequest, now: Time) -> Result<(), ApiError> {
    let limit = state.store.directory().settings()?.operations_per_minute;
    let scope = (question.action, &question.project, &question.gl_repository, &question.claimed_actor);
    match state.api.rate_limiter.check_and_count(scope, limit, now) {
        RateDecision::Allowed => Ok(()),
        RateDecision::Exceeded => Err(ApiError::too_many_requests()),
    }
}

fn record_key_use(state: &PrimaryState, actor: &Actor, now: Time) {
    match actor {
        Actor::User(_, Some(key)) | Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => {
            state.last_used.record(LastUsedSubject::Key(key.id), now)
        }
        Actor::User(_, None) | Actor::Unknown => {}
    }
}

/// Records activity, for reading only, and only once it was granted. (server.md 1.5)
fn record_activity(state: &PrimaryState, question: &AllowedRequest, actor: &Actor, now: Time) {
    if let (Action::UploadPack | Action::UploadArchive, Actor::User(user, _)) = (question.action, actor) {
        state.last_used.record(LastUsedSubject::User(user.id), now);
    }
}
