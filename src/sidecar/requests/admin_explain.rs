//! `GET /-/admin/explain?key=|key_id=|username=&project=&action=&protocol=&check_ip=`: what would be answered to one question, from
//! which facts of what age, and what the primary says to the same.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::model::access_decision::{AccessDecision, AccessEvaluation, Actor, FoundBy};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::directory::DirectoryError;
use crate::model::enums::KeyUsage;
use crate::model::freshness::{DirectoryView, Freshness, FreshnessClass};
use crate::model::key::{Fingerprint, decode_blob};
use crate::model::record::Key;
use crate::net::message::Response;
use crate::rules;
use crate::sidecar::kept::answers::KeptAnswers;
use crate::sidecar::kept::question::KeptQuestion;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::refused_askers::is_asker_refused;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::QueryOutcome;
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::QueryKind;
use crate::sidecar::upstream::query::UpstreamQuery;
use crate::wire;
use crate::wire::http::params::{Params, encode_form};
use crate::wire::http::params_error::ParamsError;

/// A question to be explained.
#[derive(Clone)]
struct ExplainQuery {
    blob: Option<Vec<u8>>,
    key: Option<String>,
    claimed_actor: ClaimedActor,
    project: Option<String>,
    action: Action,
    protocol: Protocol,
    check_ip: Option<String>,
}

/// Answers with the local decision, the facts it rests on, and the primary's decision.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let subject = ExplainQuery::parse(&request.params)?;
    if subject.key.is_some() && subject.blob.is_none() {
        return Err(ApiError::bad_request("`key` is the Base64 of a public key's blob, as sshd passes it"));
    }
    let body = match &state.kept {
        Some(kept) if state.mirror.is_some() => explain_followed(state, kept, subject, request.time).await,
        Some(kept) => explain_kept(state, kept, subject, request.time).await,
        None => {
            let local = state.local_view(subject.freshness_class(), request.time).await;
            let subject = subject.with_local_key_id(local.view.as_ref());
            json!({
                "here": here_json(&local, &subject, request.time),
                "facts": freshness_json(&local),
                "kept": null,
                "primary": query_primary(state, &subject).await,
            })
        }
    };
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Explains a question in front of a primary without a feed. There is no directory, and so there are no facts.
async fn explain_kept(state: &Arc<SidecarState>, kept: &KeptService, subject: ExplainQuery, time: RequestTime) -> Value {
    let subject = subject.with_kept_key_id(&kept.answers);
    let mut found = kept_json(&kept.answers, &subject, time);
    if let (Some(found), Some(_)) = (&mut found, &kept.shadow) {
        found["given"] = json!("no: in shadow mode only the primary's answer is given");
    }
    json!({
        "here": "this host follows no directory; see what is kept",
        "facts": null,
        "kept": found,
        "primary": query_primary(state, &subject).await,
    })
}

/// Explains a question in front of a GitLab whose mirror is followed: what the directory says of the key or user, what is kept, and which of
/// them, or the GitLab, decides now.
async fn explain_followed(state: &Arc<SidecarState>, kept: &KeptService, subject: ExplainQuery, time: RequestTime) -> Value {
    let local = state.local_view(FreshnessClass::Keys, time).await;
    let subject = subject.with_local_key_id(local.view.as_ref()).with_kept_key_id(&kept.answers);
    let here = here_json(&local, &subject.without_project(), time);
    let mut found = kept_json(&kept.answers, &subject, time);
    let question = kept_question(&kept.answers, &subject);
    let is_asker_refused = question.as_ref().is_some_and(|question| is_asker_refused(state, kept, question, time));
    if let Some(found) = found.as_mut().filter(|_| is_asker_refused) {
        found["given"] = json!("no: the feed has this user as refused, or this key as expired; GitLab is asked");
    }
    let is_in_feed = local.is_fresh() && (here["key"].is_object() || here["actor"].is_object());
    let is_kept_fresh = found.as_ref().is_some_and(|found| found["state"] == "fresh") && !is_asker_refused;
    let decided_by = match &subject.project {
        None if is_in_feed && here["actor"]["deploy_key_id"].is_null() => "feed",
        None if is_in_feed && subject.blob.is_some() => "feed",
        _ if is_kept_fresh => "kept",
        _ => "primary",
    };
    let facts = freshness_json(&local);
    json!({"decided_by": decided_by, "here": here, "facts": facts, "kept": found, "primary": query_primary(state, &subject).await})
}

impl ExplainQuery {
    /// The question about the key or user alone.
    fn without_project(&self) -> Self {
        Self { project: None, ..self.clone() }
    }

    fn parse(params: &Params) -> Result<Self, ParamsError> {
        let key = params.text("key")?;
        let action = match params.text("action")?.as_deref() {
            Some("push" | "git-receive-pack") => Action::ReceivePack,
            Some("archive" | "git-upload-archive") => Action::UploadArchive,
            None | Some("pull" | "git-upload-pack") => Action::UploadPack,
            Some(_) => return Err(ParamsError::InvalidValue { name: "action".to_owned(), expected: "`pull`, `push` or `archive`" }),
        };
        let protocol = match params.text("protocol")?.as_deref() {
            None | Some("ssh") => Protocol::Ssh,
            Some("http") => Protocol::Http,
            Some("web") => Protocol::Web,
            Some(other) => Protocol::Other(other.to_owned()),
        };
        Ok(Self {
            blob: key.as_deref().and_then(decode_blob),
            key,
            claimed_actor: wire::claimant::parse_claimant(params)?,
            project: params.text("project")?,
            action,
            protocol,
            check_ip: params.text("check_ip")?,
        })
    }

    /// Names a key by its id here, where the primary is to be asked about access: that question knows keys by their ids only.
    fn with_local_key_id(mut self, view: Option<&DirectoryView>) -> Self {
        if let (Some(blob), Some(_), Some(view)) = (&self.blob, &self.project, view)
            && let Ok(Some(key)) = view.directory.key_by_fingerprint(&Fingerprint::of(blob))
        {
            self.claimed_actor = ClaimedActor::Key(Some(key.id));
        }
        self
    }

    /// The same by the id that the kept answer about the key has.
    fn with_kept_key_id(mut self, kept: &KeptAnswers) -> Self {
        if let (Some(blob), Some(_)) = (&self.blob, &self.project)
            && let Some(id) = kept.key_id(&offered_key(blob))
        {
            self.claimed_actor = ClaimedActor::Key(Some(id));
        }
        self
    }

    const fn freshness_class(&self) -> FreshnessClass {
        match (&self.project, self.action) {
            (None, _) => FreshnessClass::Keys,
            (Some(_), Action::ReceivePack) => FreshnessClass::PushPrecheck,
            (Some(_), _) => FreshnessClass::Reads,
        }
    }

    fn access_question(&self, claimed_actor: ClaimedActor) -> AllowedRequest {
        AllowedRequest {
            project: self.project.clone(),
            check_ip: self.check_ip.clone(),
            ..AllowedRequest::new(claimed_actor, self.action, self.protocol.clone(), RefChanges::Any)
        }
    }
}

/// Returns what would be decided from the local directory.
fn here_json(local: &LocalView, subject: &ExplainQuery, time: RequestTime) -> Value {
    local.view.as_ref().map_or_else(
        || json!({"verdict": "unknown", "why": "nothing is held, or it has expired"}),
        |view| explain_locally(view, subject, time).unwrap_or_else(|fault| json!({"verdict": "unknown", "why": fault.to_string()})),
    )
}

fn explain_locally(view: &DirectoryView, subject: &ExplainQuery, time: RequestTime) -> Result<Value, DirectoryError> {
    let key = subject.blob.as_ref().map(|blob| view.directory.key_by_fingerprint(&Fingerprint::of(blob))).transpose()?.flatten();
    let claimant = match &key {
        Some(key) => ClaimedActor::Key(Some(key.id)),
        None if subject.blob.is_some() => ClaimedActor::Key(None),
        None => subject.claimed_actor.clone(),
    };
    let actor = rules::actor::resolve_actor(&*view.directory, &claimant)?;
    let mut explanation = json!({"key": key.as_deref().map(key_json), "actor": actor_json(&actor)});
    if subject.project.is_some() {
        let evaluation = rules::allowed::decide(&*view.directory, &subject.access_question(claimant), time.wall)?;
        explanation["allowed"] = judgement_json(&evaluation);
    }
    Ok(explanation)
}

fn key_json(key: &Key) -> Value {
    json!({
        "id": key.id.number(),
        "fingerprint": key.key.fingerprint().to_string(),
        "user_id": key.user_id.map(crate::model::id::Id::number),
        "deploy": key.deploy,
        "login": key.usage != KeyUsage::Signing,
        "expires_at": key.expires_at.map(|end| end.to_string()),
    })
}

fn actor_json(actor: &Actor) -> Value {
    match actor {
        Actor::Unknown => json!("nobody is known by that"),
        Actor::User(user, key) => json!({"user_id": user.id.number(), "username": user.username.as_str(), "state": user.state,
            "admin": user.admin, "external": user.external, "key_id": key.as_ref().map(|key| key.id.number())}),
        Actor::OrphanedKey(key) => json!({"key_id": key.id.number(), "user": "gone"}),
        Actor::DeployKey(key, _) => json!({"deploy_key_id": key.id.number()}),
    }
}

fn judgement_json(evaluation: &AccessEvaluation) -> Value {
    let found = match evaluation.found_by {
        FoundBy::NotFound => "not found",
        FoundBy::CurrentPath => "found",
        FoundBy::Redirect => "found by a former path",
    };
    match &evaluation.decision {
        AccessDecision::Granted(grant) => json!({"verdict": "yes", "repository": found, "console": grant.console_messages}),
        AccessDecision::Denied(refusal) => {
            json!({"verdict": "no", "repository": found, "rule": refusal.reason, "status": refusal.status, "message": refusal.message})
        }
        AccessDecision::CreatesProject(creation) => json!({"verdict": "the push would create it", "path": creation.path}),
    }
}

fn freshness_json(local: &LocalView) -> Value {
    json!({
        "age_seconds": local.age.map(|age| age.as_secs_f64()),
        "freshness": match local.freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Expired => "expired",
        },
        "verified": local.view.as_ref().is_some_and(|view| view.verified),
        "caught_up": local.caught_up,
        "has_unknown_records": local.view.as_ref().is_some_and(|view| view.has_unknown_records),
    })
}

/// Describes what is kept for the question; `None` if nothing is, or it is never kept.
fn kept_json(kept: &KeptAnswers, subject: &ExplainQuery, time: RequestTime) -> Option<Value> {
    let question = kept_question(kept, subject)?;
    let name = question.kind.as_str();
    let Some(found) = kept.inspect(&question, time) else {
        let given_back = kept.given_back(&question, time).map(|held| held.age);
        let (state, age) = match given_back {
            Some(age) => ("taken back, and given while the primary does not know most keys", age),
            None => ("404: the primary did not know it a moment ago", kept.inspect_unknown(&question, time)?),
        };
        return Some(json!({"question": name, "state": state, "age_seconds": age.as_secs_f64()}));
    };
    let state = match found.freshness {
        _ if found.is_key_expired => "the key has expired",
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Expired => "expired",
    };
    Some(json!({"question": name, "state": state, "age_seconds": found.age.as_secs_f64(), "origin": found.origin}))
}

/// Returns the question under which an answer is kept, as sshd or gitlab-shell would ask it.
fn kept_question(kept: &KeptAnswers, subject: &ExplainQuery) -> Option<KeptQuestion> {
    let query = |kind| UpstreamQuery::get(kind, String::new());
    let offered = subject.blob.as_deref().map(offered_key);
    let claimant = match &offered {
        Some(_) if subject.project.is_none() => return offered,
        Some(offered) => ClaimedActor::Key(kept.key_id(offered)),
        None => subject.claimed_actor.clone(),
    };
    match subject.project {
        Some(_) => KeptQuestion::allowed(&subject.access_question(claimant), kept.check_ip, query(QueryKind::Allowed)),
        None => KeptQuestion::discover(&claimant, query(QueryKind::Discover)),
    }
}

/// Returns the question about a key by its blob.
fn offered_key(blob: &[u8]) -> KeptQuestion {
    KeptQuestion::authorized_keys(UpstreamQuery::get(QueryKind::AuthorizedKeys(blob.to_vec()), String::new()))
}

/// Asks the primary the same, as gitlab-shell or sshd would.
async fn query_primary(state: &Arc<SidecarState>, subject: &ExplainQuery) -> Value {
    let Some(question) = build_query(subject) else { return Value::Null };
    match state.upstream.query(question, RequestClass::Other).await {
        QueryOutcome::Decided(decision) => {
            let mut body: Value = serde_json::from_slice(&decision.body).unwrap_or(Value::Null);
            if let Some(object) = body.as_object_mut() {
                object.remove("gitaly");
            }
            json!({"status": decision.status.as_u16(), "answer": body})
        }
        QueryOutcome::Failed(error) => json!({"failed": error.reason}),
    }
}

fn build_query(subject: &ExplainQuery) -> Option<UpstreamQuery> {
    if let (Some(key), Some(blob), None) = (&subject.key, &subject.blob, &subject.project) {
        return Some(UpstreamQuery::authorized_keys(blob.clone(), key));
    }
    let (name, value) = match &subject.claimed_actor {
        ClaimedActor::Key(Some(id)) => ("key_id", id.to_string()),
        ClaimedActor::User(Some(id)) => ("user_id", id.to_string()),
        ClaimedActor::Username(name) => ("username", name.clone()),
        _ => return None,
    };
    let Some(project) = &subject.project else {
        let target = format!("/api/v4/internal/discover?{}", encode_form([(name, value.as_str())]));
        return Some(UpstreamQuery::get(QueryKind::Discover, target));
    };
    let action = match subject.action {
        Action::ReceivePack => "git-receive-pack",
        Action::UploadArchive => "git-upload-archive",
        Action::UploadPack | Action::Unknown => "git-upload-pack",
    };
    // With `_any` a push that the rules would let create a project does create it: explaining must change nothing.
    if subject.action == Action::ReceivePack {
        return None;
    }
    let body =
        json!({name: value, "project": project, "action": action, "protocol": "ssh", "changes": "_any", "check_ip": subject.check_ip});
    Some(UpstreamQuery::post(QueryKind::Allowed, "/api/v4/internal/allowed", body.to_string()))
}
