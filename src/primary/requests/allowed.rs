//! `POST internal/allowed`: may this actor do this to this repository? (server.md 2.1, 3)

use std::sync::Arc;

use http::StatusCode;

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::rate_limit::RateDecision;
use crate::api::request::ApiRequest;
use crate::model::access_decision::{AccessDecision, AccessEvaluation, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, Protocol};
use crate::model::directory::Directory as _;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::pushes::create_project::{create_project, remote_url};
use crate::primary::pushes::messages::{self, MessageKind};
use crate::primary::state::PrimaryState;
use crate::rules::allowed::decide;
use crate::rules::repository::normalize_path;
use crate::wire::allowed as spelled;
use crate::wire::auth::credentials::SHELL_TOKEN_HEADER;
use crate::wire::gitaly_client_context::{ScopedUser, parse_scoped_user};

/// The header that tells gitlab-shell's way to the answer that it may count our failures.
const CIRCUIT_BREAKER_HEADER: &str = "enable-workhorse-circuit-breaker";
/// The body of a question that came too often. Without `Retry-After`, which clients obey without a bound. (client.md 0)
const RATE_LIMITED_BODY: &str = r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;

/// Answers with the grant or the refusal, and does what GitLab does beside it.
pub async fn allowed(house: &Arc<PrimaryState>, call: ApiRequest) -> HandlerResult {
    let question = spelled::parse_request(&call.params)?;
    refuse_scoped_user(house, &call)?;
    if let Some(reply) = check_rate_limit(house, &question, call.now)? {
        return Ok(reply);
    }
    let judgement = decide_or_create(house, &question, call.now).await?;
    record_key_use(house, &judgement.actor, call.now);
    queue_moved_message(house, &question, &judgement, call.now).await?;
    let reply = response(house, &question, judgement, call.now)?;
    let breaks = question.protocol == Protocol::Ssh && call.headers.contains_key(SHELL_TOKEN_HEADER);
    Ok(if breaks { reply.with_header(CIRCUIT_BREAKER_HEADER, "true") } else { reply })
}

/// A service account that acts for a person may do what both may, which is not decided here: it is refused, never passed over.
fn refuse_scoped_user(house: &PrimaryState, call: &ApiRequest) -> Result<(), ApiError> {
    let Some(ScopedUser(id)) = parse_scoped_user(&call.params)? else { return Ok(()) };
    let user = id.map_or(Ok(None), |id| house.store.directory().user(id))?;
    user.ok_or_else(|| ApiError::not_found("User"))?;
    Err(ApiError::bad_request("gitaly_client_context_bin names a user to act for, which this primary does not decide; leave that out"))
}

/// The judgement; of a push that makes a project, the one after it was made.
async fn decide_or_create(house: &Arc<PrimaryState>, question: &AllowedRequest, now: Time) -> Result<AccessEvaluation, ApiError> {
    let judgement = decide(&house.store.directory(), question, now)?;
    if !matches!(judgement.decision, AccessDecision::CreatesProject(_)) {
        return Ok(judgement);
    }
    create_project(&house.writer, house.store.private_store(), question, now).await?;
    Ok(decide(&house.store.directory(), question, now)?)
}

fn response(house: &PrimaryState, question: &AllowedRequest, judgement: AccessEvaluation, now: Time) -> HandlerResult {
    match judgement.decision {
        AccessDecision::Denied(refusal) => {
            let status = StatusCode::from_u16(refusal.status).map_err(ApiError::internal)?;
            Ok(Response::json(status, spelled::encode_refused(&refusal)))
        }
        AccessDecision::Granted(grant) => {
            record_activity(house, question, &grant.actor, now);
            Ok(Response::json(StatusCode::OK, spelled::encode_granted(&grant)))
        }
        AccessDecision::CreatesProject(_) => Err(ApiError::internal("a project was made and is not there")),
    }
}

/// Who asks by a former path and is let in reads the present one at the next push.
async fn queue_moved_message(
    house: &Arc<PrimaryState>,
    question: &AllowedRequest,
    judgement: &AccessEvaluation,
    now: Time,
) -> Result<(), ApiError> {
    let (AccessDecision::Granted(grant), FoundBy::Redirect) = (&judgement.decision, judgement.found_by) else {
        return Ok(());
    };
    let (Actor::User(user, _), Some(former)) = (&grant.actor, &question.project) else {
        return Ok(());
    };
    let (former, path) = (normalize_path(former), grant.repository.path());
    let remote = remote_url(&grant.settings, &path, &question.protocol);
    let text =
        format!("Project '{former}' was moved to '{path}'.\n\nPlease update your Git remote:\n\n  git remote set-url origin {remote}");
    let (ledger, user, word) = (house.store.private_store().clone(), user.id, grant.repository.gl_repository());
    run_blocking(move || messages::queue(&ledger, user, &word, MessageKind::Moved, text, now)).await
}

/// Counts the question per action, project as it was sent and actor; an answer if that is more than the settings allow.
fn check_rate_limit(house: &PrimaryState, question: &AllowedRequest, now: Time) -> Result<Option<Response>, ApiError> {
    let limit = house.store.directory().settings()?.operations_per_minute;
    let scope = (question.action, &question.project, &question.gl_repository, &question.claimed_actor);
    let exceeded = house.rate_limiter.check_and_count(scope, limit, now) == RateDecision::Exceeded;
    Ok(exceeded.then(|| Response::json(StatusCode::TOO_MANY_REQUESTS, RATE_LIMITED_BODY)))
}

fn record_key_use(house: &PrimaryState, actor: &Actor, now: Time) {
    match actor {
        Actor::User(_, Some(key)) | Actor::OrphanedKey(key) | Actor::DeployKey(key, _) => {
            house.last_used.record(LastUsedSubject::Key(key.id), now)
        }
        Actor::User(_, None) | Actor::Unknown => {}
    }
}

/// Activity is counted for reading only, and only once it was granted. (server.md 1.5)
fn record_activity(house: &PrimaryState, question: &AllowedRequest, actor: &Actor, now: Time) {
    if let (Action::UploadPack | Action::UploadArchive, Actor::User(user, _)) = (question.action, actor) {
        house.last_used.record(LastUsedSubject::User(user.id), now);
    }
}
