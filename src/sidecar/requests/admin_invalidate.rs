//! `POST /-/admin/invalidate`: the primary's answers that are kept are removed, with `all` also its denials.
//! (`what`: `key`, `user`, `project` or `all`; `which`: the key's id or the Base64 of its blob, the user's id or name, the project's id
//! or full path)
//!
//! The directory itself follows the primary, and nothing of it is removed.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::freshness::DirectoryView;
use crate::model::id::Id;
use crate::model::key::{Fingerprint, decode_blob};
use crate::net::message::Response;
use crate::sidecar::lfs_token_cache::TokenSelector;
use crate::sidecar::state::SidecarState;
use crate::wire::http::params::Params;

/// Removes kept LFS tokens; with `all` also the kept versions and denials. Answers with how many.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let selector = parse_selector(&request.params, state.config.replica.read().view.as_ref())?;
    let lfs_tokens = state.lfs_tokens.remove(selector);
    let removes_all = selector == TokenSelector::All;
    let (versions, denials) = if removes_all { (state.version_cache.clear(), state.denials.clear()) } else { (0, 0) };
    let removed = format!("{lfs_tokens} kept LFS tokens, {versions} kept versions and {denials} kept denials");
    tracing::info!(?selector, lfs_tokens, versions, denials, "the operator removed {removed}");
    let message = format!("removed {removed}; the directory itself follows the primary");
    let body = json!({"message": message, "lfs_tokens": lfs_tokens, "versions": versions, "denials": denials});
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

fn parse_selector(params: &Params, view: Option<&DirectoryView>) -> Result<TokenSelector, ApiError> {
    let which = params.text("which")?.filter(|which| !which.is_empty());
    match (params.text("what")?.as_deref(), which) {
        (None | Some("all"), None) => Ok(TokenSelector::All),
        (Some("key"), Some(key)) => find_key(&key, view).map(TokenSelector::Key),
        (Some("user"), Some(user)) => find_user(&user, view).map(TokenSelector::User),
        (Some("project"), Some(project)) => find_project(&project, view).map(TokenSelector::Project),
        (Some("key" | "user" | "project"), None) => Err(ApiError::missing_parameter("which")),
        (None | Some("all"), Some(_)) => Err(ApiError::bad_request("`all` takes no `which`")),
        (Some(_), _) => Err(ApiError::bad_request("`what` is `key`, `user`, `project` or `all`")),
    }
}

/// Returns a key's id: as it is, or by the Base64 of its blob in the local directory.
fn find_key(key: &str, view: Option<&DirectoryView>) -> Result<Id, ApiError> {
    if let Ok(id) = key.parse() {
        return Ok(id);
    }
    let blob = decode_blob(key).ok_or_else(|| ApiError::bad_request("`which` is a key's id, or the Base64 of its blob"))?;
    let found = view.map(|view| view.directory.key_by_fingerprint(&Fingerprint::of(&blob))).transpose()?.flatten();
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
