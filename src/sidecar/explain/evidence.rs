//! What this host has to say to one question, and what the primary says to it now. Looking changes nothing on this host: no use is noted,
//! nothing is kept or taken back. The primary is never asked about a push, which could create its project there; a pull it counts as a use.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::api::request::RequestTime;
use crate::model::access_decision::{AccessDecision, AccessEvaluation, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor};
use crate::model::freshness::{Freshness, FreshnessClass};
use crate::model::kept_answer::AnswerOrigin;
use crate::rules::explain::{DirectoryFindings, examine};
use crate::sidecar::denials::Holder;
use crate::sidecar::explain::judgement::{Held, KeptEvidence, KeptHeld, LocalEvidence, PrimaryReply};
use crate::sidecar::explain::question::ExplainQuestion;
use crate::sidecar::kept::found::Found;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::refused_askers::is_refused;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::DecisionKind;
use crate::sidecar::upstream::query::UpstreamQuery;

/// What the primary said just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryAnswer {
    /// What it means.
    pub asked: PrimaryReply,
    /// The status of the response; `None` without one.
    pub status: Option<u16>,
    /// The body, as JSON.
    pub body: Value,
    /// Why there is none, in a few words.
    pub failure: Option<String>,
}

impl PrimaryAnswer {
    /// What was not asked.
    pub const fn not_asked() -> Self {
        Self { asked: PrimaryReply::NotAsked, status: None, body: Value::Null, failure: None }
    }

    /// Returns the message that a person reads.
    pub fn message(&self) -> Option<&str> {
        self.body["message"].as_str()
    }
}

/// What is kept, as an explanation shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptFinding {
    /// What it means.
    pub evidence: KeptEvidence,
    /// Its age; `None` where nothing is kept.
    pub age: Option<Duration>,
    /// Whether it comes from a file.
    pub is_from_file: bool,
    /// Whether it is not given because the followed directory refuses who asks.
    pub is_asker_refused: bool,
}

/// Asks the primary one question.
pub async fn ask(state: &Arc<SidecarState>, query: UpstreamQuery) -> PrimaryAnswer {
    match state.upstream.query(query, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => PrimaryAnswer {
            asked: match decision.kind {
                DecisionKind::Yes => PrimaryReply::Yes,
                DecisionKind::No => PrimaryReply::No,
                DecisionKind::Rejected => PrimaryReply::Rejected,
            },
            status: Some(decision.status.as_u16()),
            body: serde_json::from_slice(&decision.body).unwrap_or(Value::Null),
            failure: None,
        },
        QueryOutcome::Failed(error) => {
            PrimaryAnswer { asked: PrimaryReply::Failed, failure: Some(error.reason), ..PrimaryAnswer::not_asked() }
        }
    }
}

/// Returns what the directory says of a question, if there is one that may answer. `None` also where it cannot be read.
pub fn look_into(view: &LocalView, question: &ExplainQuestion, time: RequestTime) -> Option<DirectoryFindings> {
    let held = view.view.as_ref()?;
    let access = question.access.as_ref().filter(|_| view.view_for_authorization().is_some());
    match examine(&*held.directory, &question.asker, access, time.wall) {
        Ok(findings) => Some(findings),
        Err(error) => {
            tracing::warn!(%error, "failed to read the local directory for an explanation: {error}");
            None
        }
    }
}

/// Judges what the directory says about a key or a user.
pub fn of_identity(
    state: &SidecarState,
    view: &LocalView,
    findings: Option<&DirectoryFindings>,
    query: &UpstreamQuery,
    is_key: bool,
) -> LocalEvidence {
    let held = match findings {
        None => Held::Nothing,
        Some(findings) => {
            let is_found = if is_key { findings.is_login_key() } else { findings.actor.user().is_some() };
            let user = findings.key.as_ref().and_then(|key| key.user_id).or_else(|| findings.actor.user().map(|user| user.id));
            let holder = Holder { key: findings.key.as_ref().map(|key| key.id), user };
            match is_found {
                true if is_denied(state, view, query, holder) => Held::DeniedYes,
                true => Held::Yes,
                false => Held::No,
            }
        }
    };
    LocalEvidence { held, freshness: view.freshness, may_deny: view.may_deny() }
}

/// Judges what the directory says about access.
pub fn of_access(
    state: &SidecarState,
    view: &LocalView,
    evaluation: Option<&AccessEvaluation>,
    query: &UpstreamQuery,
    claimed: &ClaimedActor,
) -> LocalEvidence {
    let held = match evaluation.map(|evaluation| (&evaluation.decision, evaluation)) {
        None => Held::Nothing,
        Some((AccessDecision::Granted(grant), evaluation)) => {
            let is_resolved = evaluation.actor != Actor::Unknown || *claimed == ClaimedActor::Unspecified;
            match evaluation.found_by {
                _ if is_denied(state, view, query, Holder::of(&grant.actor)) => Held::DeniedYes,
                FoundBy::CurrentPath if is_resolved => Held::Yes,
                FoundBy::CurrentPath | FoundBy::Redirect => Held::UncertainYes,
                FoundBy::NotFound => Held::HiddenNo,
            }
        }
        Some((AccessDecision::Denied(refusal), _)) if refusal.status == 401 => Held::No,
        Some((AccessDecision::Denied(_), _)) => Held::HiddenNo,
        Some((AccessDecision::CreatesProject(_), _)) => Held::Nothing,
    };
    LocalEvidence { held, freshness: view.freshness, may_deny: view.may_deny() }
}

/// Returns whether the primary has denied what the directory grants. A mirror's feed proves nothing about that.
fn is_denied(state: &SidecarState, view: &LocalView, query: &UpstreamQuery, holder: Holder) -> bool {
    let proven_at = view.exchange_proven_at.filter(|_| state.mirror.is_none());
    state.denials.denies(|| query.digest(), holder, proven_at)
}

/// Returns what is kept for a question.
pub fn of_kept(state: &SidecarState, kept: &KeptService, question: &KeptQuestion, time: RequestTime) -> KeptFinding {
    let is_asker_refused = is_refused(state, kept, question, time);
    let found = match kept.answers.look_at(question, time) {
        Found::Fresh(_) | Found::Stale(_) | Found::GivenBack(_) if is_asker_refused => Found::Nothing,
        found => found,
    };
    let (held, age, origin) = match &found {
        Found::Fresh(held) => (KeptHeld::Fresh, Some(held.age), held.origin),
        Found::Stale(held) => (KeptHeld::Stale, Some(held.age), held.origin),
        Found::GivenBack(held) => (KeptHeld::GivenBack, Some(held.age), held.origin),
        Found::Unknown(age) => (KeptHeld::NotKnown, Some(*age), AnswerOrigin::Primary),
        Found::Nothing => (KeptHeld::Nothing, None, AnswerOrigin::Primary),
    };
    let comes_back = !is_asker_refused && kept.answers.given_back(question, time).is_some();
    let evidence = KeptEvidence { held, comes_back };
    KeptFinding { evidence, age, is_from_file: origin == AnswerOrigin::File, is_asker_refused }
}

/// Returns the class of answers that a question about access belongs to.
pub const fn access_class(request: &AllowedRequest) -> FreshnessClass {
    match request.action {
        Action::ReceivePack => FreshnessClass::PushPrecheck,
        Action::UploadPack | Action::UploadArchive | Action::Unknown => FreshnessClass::Reads,
    }
}

/// Returns a state of age as it is printed.
pub const fn freshness_name(freshness: Freshness) -> &'static str {
    match freshness {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Expired => "expired",
    }
}
