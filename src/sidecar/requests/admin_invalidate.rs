//! `POST /-/admin/invalidate`: the primary's answers that are kept are removed, with `all` also its denials.
//! (`what`: `key`, `user`, `project` or `all`; `which`: the key's id or the Base64 of its blob, the user's id or name, the project's id
//! or full path)
//!
//! The directory itself follows the primary, and nothing of it is removed. In front of a primary without a feed, what is named needs no
//! directory: the kept answers about it go, from disk too before this is answered.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::freshness::DirectoryView;
use crate::model::id::Id;
use crate::model::kept_answer::KeptSubject;
use crate::model::key::{Fingerprint, decode_blob};
use crate::net::message::Response;
use crate::sidecar::kept::invalidate::{Invalidated, KeptSelector};
use crate::sidecar::kept::question::{KeptQuestion, normalize_path};
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::lfs_token_cache::TokenSelector;
use crate::sidecar::state::SidecarState;
use crate::wire::http::params::Params;

/// Removes kept LFS tokens; with `all` also the kept versions and denials. Answers with how many.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    if let Some(kept) = &state.kept {
        let about = describe_target(&request.params);
        return invalidate_kept(state, kept, parse_kept_selector(&request.params)?, &about).await;
    }
    let selector = parse_selector(&request.params, state.config.replica.read().view.as_ref())?;
    let lfs_tokens = state.lfs_tokens.remove(selector);
    let removes_all = selector == TokenSelector::All;
    let (versions, denials) = if removes_all { (state.version_cache.clear(), state.denials.clear()) } else { (0, 0) };
    let removed = format!("{lfs_tokens} kept LFS tokens, {versions} kept versions and {denials} kept denials");
    let about = describe_target(&request.params);
    let next = "the directory itself follows the primary, and answers on; `sidegate resync` loads it anew";
    let message = format!("removed {removed}{about}; {next}");
    let body = json!({"message": message, "lfs_tokens": lfs_tokens, "versions": versions, "denials": denials});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

async fn invalidate_kept(state: &SidecarState, kept: &KeptService, selector: KeptSelector, about: &str) -> HandlerResult {
    let Invalidated { answers, negatives, is_off_disk } = kept.answers.invalidate(&selector).await;
    let removes_all = selector == KeptSelector::All;
    let (versions, denials) = if removes_all { (state.version_cache.clear(), state.denials.clear()) } else { (0, 0) };
    let still_there = if is_off_disk { "" } else { "; not removed from disk yet: look at the disk of store.path" };
    let removed = format!("{answers} kept answers, {negatives} keys that were not known and {versions} kept versions{still_there}");
    let removed = if state.mirror.is_some() {
        format!("{removed}; {denials} denials of GitLab; the users and keys themselves follow the feed")
    } else {
        removed
    };
    let message = format!("removed {removed}{about}; the primary is asked at the next question");
    let body = json!({"message": message, "answers": answers, "unknown_keys": negatives, "versions": versions});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

fn parse_kept_selector(params: &Params) -> Result<KeptSelector, ApiError> {
    let (what, which) = parse_target(params)?;
    let Some(which) = which else { return Ok(KeptSelector::All) };
    let id: Option<Id> = which.parse().ok();
    Ok(match what {
        Target::All => KeptSelector::All,
        Target::Key => match id {
            Some(id) => KeptSelector::Subject(KeptSubject::Key(id)),
            None => KeptSelector::Question(named_key(&which)?.key),
        },
        Target::User => KeptSelector::Subject(id.map_or_else(|| KeptSubject::username(&which), KeptSubject::User)),
        Target::Project => KeptSelector::Subject(id.map_or_else(|| KeptSubject::Path(normalize_path(&which).into()), KeptSubject::Project)),
    })
}

/// Returns what is named, as the end of a sentence about what was removed.
fn describe_target(params: &Params) -> String {
    let text = |name| params.text(name).ok().flatten().unwrap_or_default();
    match text("what").as_str() {
        what @ ("key" | "user" | "project") => format!(" about {what} {}", text("which")),
        _ => String::new(),
    }
}

/// Returns the question about a key by its fingerprint or the Base64 of its blob.
fn named_key(key: &str) -> Result<KeptQuestion, ApiError> {
    Ok(KeptQuestion::of_fingerprint(&fingerprint_of(key)?))
}

/// Returns the fingerprint of a key that is named by it, or by the Base64 of its blob.
fn fingerprint_of(key: &str) -> Result<Fingerprint, ApiError> {
    if let Some(fingerprint) = Fingerprint::parse(key) {
        return Ok(fingerprint);
    }
    let blob = decode_blob(key);
    let blob = blob.ok_or_else(|| ApiError::bad_request("`which` is a key's id, its fingerprint `SHA256:…`, or the Base64 of its blob"))?;
    Ok(Fingerprint::of(&blob))
}

/// What is named.
#[derive(Clone, Copy)]
enum Target {
    All,
    Key,
    User,
    Project,
}

/// Reads what is named and which of them; all of them have no name.
fn parse_target(params: &Params) -> Result<(Target, Option<String>), ApiError> {
    let which = params.text("which")?.filter(|which| !which.is_empty());
    let target = match params.text("what")?.as_deref() {
        None | Some("all") => Target::All,
        Some("key") => Target::Key,
        Some("user") => Target::User,
        Some("project") => Target::Project,
        Some(_) => return Err(ApiError::bad_request("`what` is `key`, `user`, `project` or `all`")),
    };
    match (target, &which) {
        (Target::All, Some(_)) => Err(ApiError::bad_request("`all` takes no `which`")),
        (Target::Key | Target::User | Target::Project, None) => Err(ApiError::missing_parameter("which")),
        _ => Ok((target, which)),
    }
}

fn parse_selector(params: &Params, view: Option<&DirectoryView>) -> Result<TokenSelector, ApiError> {
    let (target, which) = parse_target(params)?;
    let Some(which) = which else { return Ok(TokenSelector::All) };
    match target {
        Target::All => Ok(TokenSelector::All),
        Target::Key => find_key(&which, view).map(TokenSelector::Key),
        Target::User => find_user(&which, view).map(TokenSelector::User),
        Target::Project => find_project(&which, view).map(TokenSelector::Project),
    }
}

/// Returns a key's id: as it is, or by the Base64 of its blob in the local directory.
fn find_key(key: &str, view: Option<&DirectoryView>) -> Result<Id, ApiError> {
    if let Ok(id) = key.parse() {
        return Ok(id);
    }
    let fingerprint = fingerprint_of(key)?;
    let found = view.map(|view| view.directory.key_by_fingerprint(&fingerprint)).transpose()?.flatten();
    found.map(|key| key.id).ok_or_else(|| ApiError::not_found("Key"))
}

/// Returns a user's id: as it is, or by the name in the local directory.
fn find_user(user: &str, view: Option<&DirectoryView>) -> Result<Id, ApiError> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let found = view.map(|view| view.directory.user_by_username(user)).transpose()?.flatten();
    found.map(|user| user.id).ok_or_else(|| ApiError::not_found("User"))
}

/// Returns a project's id: as it is, or by the full path in the local directory.
fn find_project(project: &str, view: Option<&DirectoryView>) -> Result<Id, ApiError> {
    if let Ok(id) = project.parse() {
        return Ok(id);
    }
    let found = view.map(|view| view.directory.project_by_path(project)).transpose()?.flatten();
    found.map(|project| project.id).ok_or_else(|| ApiError::not_found("Project"))
}
