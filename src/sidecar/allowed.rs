//! `allowed`: may they? (server.md 2.1, 3; DESIGN: who may answer what)
//!
//! A yes to a pull, or to the check before a push, is said here, by the same rules as at the primary. A no is asked, and so is what
//! somebody asks who is not known: a grant or a key may be a moment old, the project may have moved, or the push may make it. While the
//! primary fails, a yes stands until its class expires, and a no stands where it may say that the project is there. Where it may not,
//! missing and hidden projects get the same 424, so that an outage shows nobody which private projects exist.

use std::sync::Arc;

use http::StatusCode;

use crate::model::freshness::Class;
use crate::model::question::{Action, Changes, Claimant, Protocol, Question};
use crate::model::verdict::{Actor, FoundBy, Grant, Judgement, Refusal, Verdict};
use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::rules;
use crate::rules::rate::Rate;
use crate::sidecar::asking::{self, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::Kind;
use crate::sidecar::gate::Call;
use crate::sidecar::house::{Moment, Sidecar};
use crate::sidecar::known::Known;
use crate::sidecar::{forward, headers};
use crate::wire;
use crate::wire::credentials::SHELL_HEADER;

/// Answers `POST internal/allowed`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let question = match wire::allowed::look(&params) {
        Ok(question) => question,
        Err(bad) => return bad_request(&bad.to_string()),
    };
    let counted = question.protocol == Protocol::Ssh && call.parts.headers.contains_key(SHELL_HEADER);
    let reply =
        if only_the_primary_decides(&question) { forward::answer(house, call).await } else { decide(house, &question, call.moment).await };
    if counted { reply.with("enable-workhorse-circuit-breaker", "true") } else { reply }
}

/// Real changes, a quarantine, and fields that the rules do not read.
fn only_the_primary_decides(question: &Question) -> bool {
    let pushes_unsaid = question.action == Action::ReceivePack && question.changes == Changes::Absent;
    question.unread.is_some() || question.env.is_some() || matches!(question.changes, Changes::Real(_)) || pushes_unsaid
}

async fn decide(house: &Arc<Sidecar>, question: &Question, moment: Moment) -> Reply {
    let class = if question.action == Action::ReceivePack { Class::PushPrecheck } else { Class::Reads };
    let known = house.known(class, moment).await;
    let judged = judge(&known, question, moment);
    if let Some(Judgement { verdict: Verdict::Granted(grant), found: FoundBy::Itself, actor }) = &judged
        && known.fresh()
        && is_known(actor, &question.claimant)
    {
        return give(house, question, grant, &known, moment);
    }
    let asked =
        asking::Question { kind: Kind::Allowed, target: "/api/v4/internal/allowed".to_owned(), body: Some(wire::allowed::asked(question)) };
    match house.asking.ask(asked, Sort::Other, moment).await {
        Told::Decided(decided) => headers::forwarded(Reply::json(decided.status, decided.body)),
        Told::Failed(outage) => match judged {
            Some(Judgement { verdict: Verdict::Granted(grant), found: FoundBy::Itself | FoundBy::Redirect, .. }) => {
                headers::degraded(give(house, question, &grant, &known, moment))
            }
            Some(Judgement { verdict: Verdict::Refused(refusal), .. }) if refusal.status == 401 && known.may_deny() => {
                headers::degraded(headers::local(deny(&refusal), known.age))
            }
            _ => outage.of_a_question(),
        },
    }
}

/// Whether who asks is found, or said not to be anybody: one that is not found may be a moment old.
fn is_known(actor: &Actor, claimant: &Claimant) -> bool {
    *actor != Actor::Nobody || *claimant == Claimant::Nobody
}

/// What the rules say of what is known; `None` if nothing may be decided from it.
fn judge(known: &Known, question: &Question, moment: Moment) -> Option<Judgement> {
    let view = known.deciding()?;
    match rules::allowed::decide(&*view.directory, question, moment.wall) {
        Ok(judgement) => Some(judgement),
        Err(fault) => {
            tracing::error!(reason = %fault, "access could not be decided from what is held; asking the primary");
            None
        }
    }
}

/// A yes of our own, if it is not asked too often.
fn give(house: &Sidecar, question: &Question, grant: &Grant, known: &Known, moment: Moment) -> Reply {
    if too_often(house, question, grant, moment) {
        let text = r#"{"message":{"error":"This endpoint has been requested too many times. Try again later."}}"#;
        return headers::local(Reply::json(StatusCode::TOO_MANY_REQUESTS, text), known.age);
    }
    note_use(house, question, &grant.actor, moment);
    headers::local(Reply::json(StatusCode::OK, wire::allowed::granted(grant)), known.age)
}

/// Counted where the answer is made, by action, project as it was asked, and actor. (server.md 2.1)
fn too_often(house: &Sidecar, question: &Question, grant: &Grant, moment: Moment) -> bool {
    let limit = grant.settings.operations_per_minute;
    let action = match question.action {
        Action::UploadPack => "git-upload-pack",
        Action::UploadArchive => "git-upload-archive",
        Action::ReceivePack => "git-receive-pack",
        Action::Unknown => "",
    };
    let project = question.gl_repository.as_deref().or(question.project.as_deref()).unwrap_or_default();
    let actor = match &grant.actor {
        Actor::User(_, Some(key)) | Actor::Orphan(key) | Actor::DeployKey(key, _) => format!("key-{}", key.id),
        Actor::User(user, None) => format!("user-{}", user.id),
        Actor::Nobody => String::new(),
    };
    house.rates.count(house.rates.key(action, project, &actor), limit, moment.wall) == Rate::Over
}

fn note_use(house: &Sidecar, question: &Question, actor: &Actor, moment: Moment) {
    let (user, key) = match actor {
        Actor::User(user, key) => (Some(user.id), key.as_ref().map(|key| key.id)),
        Actor::Orphan(key) | Actor::DeployKey(key, _) => (None, Some(key.id)),
        Actor::Nobody => (None, None),
    };
    let user = user.filter(|_| question.action != Action::ReceivePack);
    house.usage.note(key, user, moment.wall);
}

fn deny(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::UNAUTHORIZED);
    Reply::json(status, wire::allowed::refused(refusal))
}
