//! `POST internal/allowed`: may this actor do this to this repository? (server.md 2.1, 3)

use std::sync::Arc;

use http::StatusCode;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::creation::{create, remote};
use crate::authority::messages::{self, Topic};
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::usage::Used;
use crate::model::directory::Directory as _;
use crate::model::question::{Action, Protocol, Question};
use crate::model::time::Time;
use crate::model::verdict::{Actor, FoundBy, Judgement, Verdict};
use crate::net::message::Reply;
use crate::rules::allowed::decide;
use crate::rules::repository::plain;
use crate::wire::allowed as spelled;
use crate::wire::client_context::{ScopedUser, scoped_user};
use crate::wire::credentials::SHELL_HEADER;

/// The header that tells gitlab-shell's way to the answer that it may count our failures.
const CIRCUIT_BREAKER: &str = "enable-workhorse-circuit-breaker";
/// The body of a question that came too often. Without `Retry-After`, which clients obey without a bound. (client.md 0)
const TOO_OFTEN: &str = r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;

/// Answers with the grant or the refusal, and does what GitLab does beside it.
pub async fn allowed(house: &Arc<Authority>, call: Call) -> Answered {
    let question = spelled::read(&call.params)?;
    act_for_nobody(house, &call)?;
    if let Some(reply) = too_often(house, &question, call.now)? {
        return Ok(reply);
    }
    let judgement = judge(house, &question, call.now).await?;
    note_key(house, &judgement.actor, call.now);
    tell_of_move(house, &question, &judgement, call.now).await?;
    let reply = reply(house, &question, judgement, call.now)?;
    let breaks = question.protocol == Protocol::Ssh && call.headers.contains_key(SHELL_HEADER);
    Ok(if breaks { reply.with(CIRCUIT_BREAKER, "true") } else { reply })
}

/// A service account that acts for a person may do what both may, which is not decided here: it is refused, never passed over.
fn act_for_nobody(house: &Authority, call: &Call) -> Result<(), Refusal> {
    let Some(ScopedUser(id)) = scoped_user(&call.params)? else { return Ok(()) };
    let user = id.map_or(Ok(None), |id| house.store.directory().user(id))?;
    user.ok_or_else(|| Refusal::not_found("User"))?;
    Err(Refusal::bad("gitaly_client_context_bin names a user to act for, which this primary does not decide; leave that out"))
}

/// The judgement; of a push that makes a project, the one after it was made.
async fn judge(house: &Arc<Authority>, question: &Question, now: Time) -> Result<Judgement, Refusal> {
    let judgement = decide(&house.store.directory(), question, now)?;
    if !matches!(judgement.verdict, Verdict::Creates(_)) {
        return Ok(judgement);
    }
    create(house, question, now).await?;
    Ok(decide(&house.store.directory(), question, now)?)
}

fn reply(house: &Authority, question: &Question, judgement: Judgement, now: Time) -> Answered {
    match judgement.verdict {
        Verdict::Refused(refusal) => {
            let status = StatusCode::from_u16(refusal.status).map_err(Refusal::fault)?;
            Ok(Reply::json(status, spelled::refused(&refusal)))
        }
        Verdict::Granted(grant) => {
            note_activity(house, question, &grant.actor, now);
            Ok(Reply::json(StatusCode::OK, spelled::granted(&grant)))
        }
        Verdict::Creates(_) => Err(Refusal::fault("a project was made and is not there")),
    }
}

/// Who asks by a former path and is let in reads the present one at the next push.
async fn tell_of_move(house: &Arc<Authority>, question: &Question, judgement: &Judgement, now: Time) -> Result<(), Refusal> {
    let (Verdict::Granted(grant), FoundBy::Redirect) = (&judgement.verdict, judgement.found) else {
        return Ok(());
    };
    let (Actor::User(user, _), Some(former)) = (&grant.actor, &question.project) else {
        return Ok(());
    };
    let (former, path) = (plain(former), grant.repository.path());
    let remote = remote(&grant.settings, &path, &question.protocol);
    let text =
        format!("Project '{former}' was moved to '{path}'.\n\nPlease update your Git remote:\n\n  git remote set-url origin {remote}");
    let (ledger, user, word) = (house.store.ledger().clone(), user.id, grant.repository.word());
    blocking(move || messages::queue(&ledger, user, &word, Topic::Moved, text, now)).await
}

/// Counts the question per action, project as it was sent and actor; an answer if that is more than the settings allow.
fn too_often(house: &Authority, question: &Question, now: Time) -> Result<Option<Reply>, Refusal> {
    let limit = house.store.directory().settings()?.operations_per_minute;
    let within = house.limits.take((question.action, &question.project, &question.gl_repository, &question.claimant), limit, now);
    Ok((!within).then(|| Reply::json(StatusCode::TOO_MANY_REQUESTS, TOO_OFTEN)))
}

fn note_key(house: &Authority, actor: &Actor, now: Time) {
    match actor {
        Actor::User(_, Some(key)) | Actor::Orphan(key) | Actor::DeployKey(key, _) => house.usage.note(Used::Key(key.id), now),
        Actor::User(_, None) | Actor::Nobody => {}
    }
}

/// Activity is counted for reading only, and only once it was granted. (server.md 1.5)
fn note_activity(house: &Authority, question: &Question, actor: &Actor, now: Time) {
    if let (Action::UploadPack | Action::UploadArchive, Actor::User(user, _)) = (question.action, actor) {
        house.usage.note(Used::User(user.id), now);
    }
}
