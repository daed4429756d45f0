//! `GET /-/admin/explain`: the judgement of one question, with the word of the rule that decided and the facts it read.
//! (one of `key`, `key_id`, `user_id`, `username`; with `project` or `gl_repository` also `action`, `protocol`, `check_ip`)

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::usage::{self, Used};
use crate::model::directory::Directory;
use crate::model::key::{Fingerprint, PublicKey, decode_blob};
use crate::model::level::KeyUsage;
use crate::model::question::{Action, Changes, Claimant, Protocol, Question};
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::model::verdict::{Actor, Judgement, Repository, Verdict};
use crate::net::message::Reply;
use crate::rules::access::role;
use crate::rules::actor::identify;
use crate::rules::allowed::decide;
use crate::store::generation::Generation;
use crate::store::ledger::Ledger;

/// The action that is asked of if none is said.
const ACTION: &str = "git-upload-pack";

/// Answers with the judgement and its facts.
pub async fn explain(house: &Arc<Authority>, call: Call) -> Answered {
    let (directory, ledger, head) = (house.store.directory(), house.store.ledger().clone(), house.store.head());
    let body = blocking(move || {
        let key = key_asked(&directory, &call)?;
        let question = question(&call, key.as_deref())?;
        let actor = identify(&directory, &question.claimant)?;
        let asks_for_repository = question.project.is_some() || question.gl_repository.is_some();
        let allowed = if asks_for_repository { Some(allowed(&directory, &question, call.now)?) } else { None };
        Ok::<_, Refusal>(json!({
            "head": head,
            "actor": describe_actor(&ledger, &actor, call.now)?,
            "authorized_keys": key.as_deref().map(authorized_keys),
            "allowed": allowed,
        }))
    })
    .await?;
    Ok(Reply::json(StatusCode::OK, body.to_string()))
}

/// The key that is asked of, by an OpenSSH line, its Base64, or its id.
fn key_asked(directory: &Generation, call: &Call) -> Result<Option<Arc<Key>>, Refusal> {
    let found = match (call.params.text("key")?, call.params.id("key_id")?) {
        (Some(_), Some(_)) => return Err(Refusal::bad("key, key_id are mutually exclusive")),
        (Some(line), None) => {
            let blob = line.parse::<PublicKey>().ok().map(|key| key.blob().to_vec()).or_else(|| decode_blob(line.trim()));
            let blob = blob.ok_or_else(|| Refusal::bad("key is an OpenSSH public key, or its Base64"))?;
            directory.key_with(&Fingerprint::of(&blob))?
        }
        (None, Some(id)) => directory.key(id)?,
        (None, None) => return Ok(None),
    };
    found.map(Some).ok_or_else(|| Refusal::not_found("Key"))
}

fn question(call: &Call, key: Option<&Key>) -> Result<Question, Refusal> {
    let params = &call.params;
    let claimant = match (key, params.id("user_id")?, params.text("username")?) {
        (Some(key), None, None) => Claimant::Key(Some(key.id)),
        (None, Some(id), None) => Claimant::User(Some(id)),
        (None, None, Some(name)) => Claimant::Username(name),
        (None, None, None) => Claimant::Nobody,
        _ => return Err(Refusal::bad("key, key_id, user_id, username are mutually exclusive")),
    };
    let action = params.text("action")?;
    let protocol = params.text("protocol")?;
    Ok(Question {
        claimant,
        gl_repository: params.text("gl_repository")?,
        project: params.text("project")?,
        action: match action.as_deref().unwrap_or(ACTION) {
            "git-upload-pack" | "pull" => Action::UploadPack,
            "git-upload-archive" => Action::UploadArchive,
            "git-receive-pack" | "push" => Action::ReceivePack,
            _ => return Err(Refusal::bad("action is pull, push, git-upload-pack, git-upload-archive or git-receive-pack")),
        },
        protocol: match protocol.as_deref() {
            None | Some("ssh") => Protocol::Ssh,
            Some("http") => Protocol::Http,
            Some("web") => Protocol::Web,
            Some(_) => return Err(Refusal::bad("protocol is ssh, http or web")),
        },
        changes: Changes::Any,
        env: None,
        check_ip: params.text("check_ip")?,
        namespace_path: None,
        relative_path: None,
        push_options: Vec::new(),
        unread: None,
    })
}

fn allowed(directory: &Generation, question: &Question, now: Time) -> Result<Value, Refusal> {
    let Judgement { verdict, actor, found } = decide(directory, question, now)?;
    let verdict = match verdict {
        Verdict::Granted(grant) => {
            let role = role_of(directory, &actor, &grant.repository, now)?;
            json!({"verdict": "granted", "repository": grant.repository.word(), "path": grant.repository.path(), "role": role, "console": grant.console})
        }
        Verdict::Refused(refusal) => {
            json!({"verdict": "refused", "status": refusal.status, "reason": refusal.reason, "message": refusal.text})
        }
        Verdict::Creates(creation) => {
            json!({"verdict": "creates", "path": creation.path, "namespace_id": creation.namespace_id})
        }
    };
    Ok(json!({"decision": verdict, "found": format!("{found:?}").to_lowercase()}))
}

fn role_of(directory: &Generation, actor: &Actor, repository: &Repository, now: Time) -> Result<Option<u8>, Refusal> {
    let (Actor::User(user, _), Some(project)) = (actor, repository.project()) else {
        return Ok(None);
    };
    Ok(role(directory, user.id, project, now)?.map(u8::from))
}

fn authorized_keys(key: &Key) -> Value {
    match key.usage {
        KeyUsage::Signing => json!({"answer": "no", "reason": "signing_only"}),
        KeyUsage::Auth | KeyUsage::AuthAndSigning => json!({"answer": "yes", "id": key.id}),
    }
}

fn describe_actor(ledger: &Ledger, actor: &Actor, now: Time) -> Result<Value, Refusal> {
    let (kind, user, key) = match actor {
        Actor::Nobody => ("nobody", None, None),
        Actor::User(user, key) => ("user", Some(user), key.as_ref()),
        Actor::Orphan(key) => ("key_without_user", None, Some(key)),
        Actor::DeployKey(key, creator) => ("deploy_key", creator.as_ref(), Some(key)),
    };
    let user = user.map(|user| describe_user(ledger, user)).transpose()?;
    let key = key.map(|key| describe_key(ledger, key, now)).transpose()?;
    Ok(json!({"kind": kind, "user": user, "key": key}))
}

fn describe_user(ledger: &Ledger, user: &User) -> Result<Value, Refusal> {
    Ok(json!({
        "id": user.id,
        "username": user.username,
        "state": user.state,
        "admin": user.admin,
        "external": user.external,
        "terms_accepted": user.terms_accepted,
        "password_expires_at": user.password_expires_at,
        "last_activity_on": usage::last(ledger, Used::User(user.id))?,
    }))
}

fn describe_key(ledger: &Ledger, key: &Key, now: Time) -> Result<Value, Refusal> {
    Ok(json!({
        "id": key.id,
        "fingerprint": key.key.fingerprint().to_string(),
        "type": key.key.algorithm(),
        "bits": key.key.bits(),
        "usage": key.usage,
        "deploy": key.deploy,
        "expires_at": key.expires_at,
        "expired": key.expires_at.is_some_and(|end| end <= now),
        "last_used_on": usage::last(ledger, Used::Key(key.id))?,
    }))
}
