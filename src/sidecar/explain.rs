//! `explain`: what would be answered to one question, from which facts of what age, and what the primary says to the same.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::model::directory::Fault;
use crate::model::freshness::{Class, Freshness, View};
use crate::model::key::Fingerprint;
use crate::model::level::KeyUsage;
use crate::model::question::{Action, Changes, Claimant, Protocol, Question};
use crate::model::record::Key;
use crate::model::verdict::{Actor, FoundBy, Judgement, Verdict};
use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::rules;
use crate::sidecar::asking::{self, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::{Kind, asked_blob};
use crate::sidecar::gate::Call;
use crate::sidecar::house::{Moment, Sidecar};
use crate::sidecar::known::Known;
use crate::wire;
use crate::wire::params::{BadParams, Params, encode};

/// What is to be explained.
struct Subject {
    blob: Option<Vec<u8>>,
    key: Option<String>,
    claimant: Claimant,
    project: Option<String>,
    action: Action,
    protocol: Protocol,
    check_ip: Option<String>,
}

/// Answers `GET /-/admin/explain?key=|key_id=|username=&project=&action=&protocol=&check_ip=`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    let subject = match Subject::read(&params) {
        Ok(subject) => subject,
        Err(bad) => return bad_request(&bad.to_string()),
    };
    if subject.key.is_some() && subject.blob.is_none() {
        return bad_request("`key` is the Base64 of a public key's blob, as sshd passes it");
    }
    let class = subject.class();
    let known = house.known(class, call.moment).await;
    let local = known.view.as_ref().map_or_else(
        || json!({"verdict": "unknown", "why": "nothing is held, or it has expired"}),
        |view| explain(view, &subject, call.moment).unwrap_or_else(|fault| json!({"verdict": "unknown", "why": fault.to_string()})),
    );
    let body = json!({
        "here": local,
        "facts": facts(&known),
        "primary": primary(house, &subject, call.moment).await,
    });
    Reply::json(StatusCode::OK, body.to_string())
}

impl Subject {
    fn read(params: &Params) -> Result<Self, BadParams> {
        let key = params.text("key")?;
        let action = match params.text("action")?.as_deref() {
            Some("push" | "git-receive-pack") => Action::ReceivePack,
            Some("archive" | "git-upload-archive") => Action::UploadArchive,
            None | Some("pull" | "git-upload-pack") => Action::UploadPack,
            Some(_) => return Err(BadParams::Wrong { name: "action".to_owned(), wanted: "`pull`, `push` or `archive`" }),
        };
        let protocol = match params.text("protocol")?.as_deref() {
            None | Some("ssh") => Protocol::Ssh,
            Some("http") => Protocol::Http,
            Some("web") => Protocol::Web,
            Some(other) => Protocol::Other(other.to_owned()),
        };
        Ok(Self {
            blob: key.as_deref().and_then(asked_blob),
            key,
            claimant: wire::claimant::read(params)?,
            project: params.text("project")?,
            action,
            protocol,
            check_ip: params.text("check_ip")?,
        })
    }

    const fn class(&self) -> Class {
        match (&self.project, self.action) {
            (None, _) => Class::Keys,
            (Some(_), Action::ReceivePack) => Class::PushPrecheck,
            (Some(_), _) => Class::Reads,
        }
    }

    fn question(&self, claimant: Claimant) -> Question {
        Question {
            project: self.project.clone(),
            check_ip: self.check_ip.clone(),
            ..Question::of(claimant, self.action, self.protocol.clone(), Changes::Any)
        }
    }
}

fn explain(view: &View, subject: &Subject, moment: Moment) -> Result<Value, Fault> {
    let key = subject.blob.as_ref().map(|blob| view.directory.key_with(&Fingerprint::of(blob))).transpose()?.flatten();
    let claimant = match &key {
        Some(key) => Claimant::Key(Some(key.id)),
        None if subject.blob.is_some() => Claimant::Key(None),
        None => subject.claimant.clone(),
    };
    let actor = rules::actor::identify(&*view.directory, &claimant)?;
    let mut said = json!({"key": key.as_deref().map(of_key), "actor": of_actor(&actor)});
    if subject.project.is_some() {
        let judged = rules::allowed::decide(&*view.directory, &subject.question(claimant), moment.wall)?;
        said["allowed"] = of_judgement(&judged);
    }
    Ok(said)
}

fn of_key(key: &Key) -> Value {
    json!({
        "id": key.id.number(),
        "fingerprint": key.key.fingerprint().to_string(),
        "user_id": key.user_id.map(crate::model::id::Id::number),
        "deploy": key.deploy,
        "login": key.usage != KeyUsage::Signing,
        "expires_at": key.expires_at.map(|end| end.to_string()),
    })
}

fn of_actor(actor: &Actor) -> Value {
    match actor {
        Actor::Nobody => json!("nobody is known by that"),
        Actor::User(user, key) => json!({"user_id": user.id.number(), "username": user.username.as_str(), "state": user.state,
            "admin": user.admin, "external": user.external, "key_id": key.as_ref().map(|key| key.id.number())}),
        Actor::Orphan(key) => json!({"key_id": key.id.number(), "user": "gone"}),
        Actor::DeployKey(key, _) => json!({"deploy_key_id": key.id.number()}),
    }
}

fn of_judgement(judged: &Judgement) -> Value {
    let found = match judged.found {
        FoundBy::Nothing => "not found",
        FoundBy::Itself => "found",
        FoundBy::Redirect => "found by a former path",
    };
    match &judged.verdict {
        Verdict::Granted(grant) => json!({"verdict": "yes", "repository": found, "console": grant.console}),
        Verdict::Refused(refusal) => {
            json!({"verdict": "no", "repository": found, "rule": refusal.reason, "status": refusal.status, "message": refusal.text})
        }
        Verdict::Creates(creation) => json!({"verdict": "the push would create it", "path": creation.path}),
    }
}

fn facts(known: &Known) -> Value {
    json!({
        "age_seconds": known.age.0.map(|age| age.as_secs_f64()),
        "freshness": match known.freshness {
            Freshness::Fresh => "fresh",
            Freshness::Stale => "stale",
            Freshness::Expired => "expired",
        },
        "whole": known.view.as_ref().is_some_and(|view| view.whole),
        "caught_up": known.caught_up,
        "beyond_understanding": known.view.as_ref().is_some_and(|view| view.foreign),
    })
}

/// The same question, as gitlab-shell or sshd would ask it.
async fn primary(house: &Arc<Sidecar>, subject: &Subject, moment: Moment) -> Value {
    let Some(question) = asked(subject) else { return Value::Null };
    match house.asking.ask(question, Sort::Other, moment).await {
        Told::Decided(decided) => {
            let mut body: Value = serde_json::from_slice(&decided.body).unwrap_or(Value::Null);
            if let Some(object) = body.as_object_mut() {
                object.remove("gitaly");
            }
            json!({"status": decided.status.as_u16(), "answer": body})
        }
        Told::Failed(outage) => json!({"failed": outage.why}),
    }
}

fn asked(subject: &Subject) -> Option<asking::Question> {
    if let (Some(key), Some(blob), None) = (&subject.key, &subject.blob, &subject.project) {
        let target = format!("/api/v4/internal/authorized_keys?{}", encode([("key", key.as_str())]));
        return Some(asking::Question { kind: Kind::AuthorizedKeys(blob.clone()), target, body: None });
    }
    let (name, value) = match &subject.claimant {
        Claimant::Key(Some(id)) => ("key_id", id.to_string()),
        Claimant::User(Some(id)) => ("user_id", id.to_string()),
        Claimant::Username(name) => ("username", name.clone()),
        _ => return None,
    };
    let Some(project) = &subject.project else {
        let target = format!("/api/v4/internal/discover?{}", encode([(name, value.as_str())]));
        return Some(asking::Question { kind: Kind::Discover, target, body: None });
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
    Some(asking::Question { kind: Kind::Allowed, target: "/api/v4/internal/allowed".to_owned(), body: Some(body.to_string()) })
}
