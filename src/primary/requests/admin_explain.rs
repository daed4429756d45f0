//! `GET /-/admin/explain`: the decision on one question, with the name of the rule that decided and the facts it read.
//! (one of `key`, `fingerprint`, `key_id`, `user_id`, `username`; with `project` or `gl_repository` also `action`, `protocol`, `check_ip`)

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::access_decision::{AccessDecision, AccessEvaluation, Actor, FoundBy, Repository};
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol, RefChanges};
use crate::model::directory::Directory;
use crate::model::enums::KeyUsage;
use crate::model::key::{Fingerprint, PublicKey, decode_blob};
use crate::model::record::{Key, User};
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::last_used::{self, LastUsedSubject};
use crate::primary::state::PrimaryState;
use crate::rules::access_level::highest_access_level;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::store::generations::generation::Generation;
use crate::store::primary::private_store::PrivateStore;

/// The action if none is given.
const DEFAULT_ACTION: &str = "git-upload-pack";

/// Answers with the decision and its facts.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let (directory, private_store, head) = (state.store.directory(), state.store.private_store().clone(), state.store.head());
    let body = run_blocking(move || {
        let key = find_key(&directory, &request)?;
        let question = parse_question(&request, key.as_deref())?;
        let actor = resolve_actor(&directory, &question.claimed_actor)?;
        let asks_for_repository = question.project.is_some() || question.gl_repository.is_some();
        let allowed = if asks_for_repository { Some(explain_allowed(&directory, &question, request.time.wall)?) } else { None };
        Ok::<_, ApiError>(json!({
            "head": head,
            "actor": describe_actor(&private_store, &actor, request.time.wall)?,
            "authorized_keys": key.as_deref().map(explain_authorized_keys),
            "allowed": allowed,
        }))
    })
    .await?;
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Finds the key, by an OpenSSH line, its Base64, its fingerprint, or its id.
fn find_key(directory: &Generation, request: &ApiRequest) -> Result<Option<Arc<Key>>, ApiError> {
    let params = &request.params;
    let found = match (params.text("key")?, params.text("fingerprint")?, params.id("key_id")?) {
        (Some(line), None, None) => {
            let blob = line.parse::<PublicKey>().ok().map(|key| key.blob().to_vec()).or_else(|| decode_blob(line.trim()));
            let blob = blob.ok_or_else(|| ApiError::bad_request("key is an OpenSSH public key, or its Base64"))?;
            directory.key_by_fingerprint(&Fingerprint::of(&blob))?
        }
        (None, Some(fingerprint), None) => {
            let fingerprint = Fingerprint::parse(&fingerprint);
            directory.key_by_fingerprint(&fingerprint.ok_or_else(|| ApiError::bad_request("fingerprint is SHA256: and Base64"))?)?
        }
        (None, None, Some(id)) => directory.key(id)?,
        (None, None, None) => return Ok(None),
        _ => return Err(ApiError::bad_request("key, fingerprint, key_id are mutually exclusive")),
    };
    found.map(Some).ok_or_else(|| ApiError::not_found("Key"))
}

fn parse_question(request: &ApiRequest, key: Option<&Key>) -> Result<AllowedRequest, ApiError> {
    let params = &request.params;
    let claimant = match (key, params.id("user_id")?, params.text("username")?) {
        (Some(key), None, None) => ClaimedActor::Key(Some(key.id)),
        (None, Some(id), None) => ClaimedActor::User(Some(id)),
        (None, None, Some(name)) => ClaimedActor::Username(name),
        (None, None, None) => ClaimedActor::Unspecified,
        _ => return Err(ApiError::bad_request("key, key_id, user_id, username are mutually exclusive")),
    };
    let action = params.text("action")?;
    let protocol = params.text("protocol")?;
    Ok(AllowedRequest {
        claimed_actor: claimant,
        gl_repository: params.text("gl_repository")?,
        project: params.text("project")?,
        action: match action.as_deref().unwrap_or(DEFAULT_ACTION) {
            "git-upload-pack" | "pull" => Action::UploadPack,
            "git-upload-archive" | "archive" => Action::UploadArchive,
            "git-receive-pack" | "push" => Action::ReceivePack,
            _ => {
                return Err(ApiError::bad_request(
                    "action is pull, push, archive, git-upload-pack, git-receive-pack or git-upload-archive",
                ));
            }
        },
        protocol: match protocol.as_deref() {
            None | Some("ssh") => Protocol::Ssh,
            Some("http") => Protocol::Http,
            Some("web") => Protocol::Web,
            Some(_) => return Err(ApiError::bad_request("protocol is ssh, http or web")),
        },
        changes: RefChanges::Any,
        env: None,
        check_ip: params.text("check_ip")?,
        namespace_path: None,
        relative_path: None,
        push_options: Vec::new(),
        unsupported_param: None,
    })
}

fn explain_allowed(directory: &Generation, question: &AllowedRequest, now: Time) -> Result<Value, ApiError> {
    let AccessEvaluation { decision: verdict, actor, found_by: found } = decide(directory, question, now)?;
    let verdict = match verdict {
        AccessDecision::Granted(grant) => {
            let role = role_of(directory, &actor, &grant.repository, now)?;
            json!({"verdict": "granted", "repository": grant.repository.gl_repository(), "path": grant.repository.path(), "role": role, "console": grant.console_messages})
        }
        AccessDecision::Denied(refusal) => {
            json!({"verdict": "refused", "status": refusal.status, "reason": refusal.reason, "message": refusal.message})
        }
        AccessDecision::CreatesProject(creation) => {
            json!({"verdict": "creates", "path": creation.path, "namespace_id": creation.namespace_id})
        }
    };
    let found = match found {
        FoundBy::NotFound => "nothing",
        FoundBy::CurrentPath => "itself",
        FoundBy::Redirect => "redirect",
    };
    Ok(json!({"decision": verdict, "found": found}))
}

fn role_of(directory: &Generation, actor: &Actor, repository: &Repository, now: Time) -> Result<Option<u8>, ApiError> {
    let (Actor::User(user, _), Some(project)) = (actor, repository.project()) else {
        return Ok(None);
    };
    Ok(highest_access_level(directory, user.id, project, now)?.map(u8::from))
}

fn explain_authorized_keys(key: &Key) -> Value {
    match key.usage {
        KeyUsage::Signing => json!({"answer": "no", "reason": "signing_only"}),
        KeyUsage::Auth | KeyUsage::AuthAndSigning => json!({"answer": "yes", "id": key.id}),
    }
}

fn describe_actor(private_store: &PrivateStore, actor: &Actor, now: Time) -> Result<Value, ApiError> {
    let (kind, user, key) = match actor {
        Actor::Unknown => ("nobody", None, None),
        Actor::User(user, key) => ("user", Some(user), key.as_ref()),
        Actor::OrphanedKey(key) => ("key_without_user", None, Some(key)),
        Actor::DeployKey(key, creator) => ("deploy_key", creator.as_ref(), Some(key)),
    };
    let user = user.map(|user| describe_user(private_store, user)).transpose()?;
    let key = key.map(|key| describe_key(private_store, key, now)).transpose()?;
    Ok(json!({"kind": kind, "user": user, "key": key}))
}

fn describe_user(private_store: &PrivateStore, user: &User) -> Result<Value, ApiError> {
    Ok(json!({
        "id": user.id,
        "username": user.username,
        "state": user.state,
        "admin": user.admin,
        "external": user.external,
        "terms_accepted": user.terms_accepted,
        "password_expires_at": user.password_expires_at,
        "last_activity_on": last_used::last_used_on(private_store, LastUsedSubject::User(user.id))?,
    }))
}

fn describe_key(private_store: &PrivateStore, key: &Key, now: Time) -> Result<Value, ApiError> {
    Ok(json!({
        "id": key.id,
        "fingerprint": key.key.fingerprint().to_string(),
        "type": key.key.algorithm(),
        "bits": key.key.bits(),
        "usage": key.usage,
        "deploy": key.deploy,
        "expires_at": key.expires_at,
        "expired": key.expires_at.is_some_and(|end| end <= now),
        "last_used_on": last_used::last_used_on(private_store, LastUsedSubject::Key(key.id))?,
    }))
}
