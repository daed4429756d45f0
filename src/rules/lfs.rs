//! Tokens for Git LFS: who gets one, for which repository, and what it permits when it is presented. (server.md 2.2, 4, 8.1)
//!
//! Issuing a token checks no permission: that is done when it is presented. What is in a token, and how it is signed, is in
//! [`lfs_token`](crate::rules::lfs_token).

use crate::model::access_decision::{AccessDecision, Actor, Repository};
use crate::model::access_request::{
    Action, AllowedRequest, ClaimedActor, LfsAuthenticateRequest, LfsOperation, LfsVerifyRequest, Protocol, RefChanges,
};
use crate::model::directory::{Directory, DirectoryError};
use crate::model::time::Time;
use crate::rules::account;
use crate::rules::actor::resolve_actor;
use crate::rules::allowed::decide;
use crate::rules::lfs_token::{DEPLOY_KEY_LOGIN_PREFIX, LfsTokenHolder, TokenSeed, is_token_of};
use crate::rules::repository::find_repository;

/// Whether a token may be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum TokenEligibility {
    /// Yes: to this holder, for this repository.
    Eligible(LfsTokenHolder, Repository),
    /// There is no such repository, or it has no large files: `404 Not Found`.
    ContainerNotFound,
    /// There is no such actor: `404 Not found`.
    ActorNotFound,
}

/// What a valid token permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LfsAccess {
    /// Downloads.
    Read,
    /// Downloads and uploads.
    Write,
}

/// Decides whether a token may be issued. The repository is looked up before the actor; snippets have no large files, wikis do.
pub fn check_eligibility(directory: &dyn Directory, request: &LfsAuthenticateRequest) -> Result<TokenEligibility, DirectoryError> {
    let Some(repository) = find_lfs_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())? else {
        return Ok(TokenEligibility::ContainerNotFound);
    };
    Ok(match resolve_actor(directory, &request.claimed_actor)? {
        Actor::User(user, _) => TokenEligibility::Eligible(LfsTokenHolder::User(user), repository),
        Actor::DeployKey(key, _) => TokenEligibility::Eligible(LfsTokenHolder::DeployKey(key), repository),
        Actor::Unknown | Actor::OrphanedKey(_) => TokenEligibility::ActorNotFound,
    })
}

/// Verifies a token and decides what its holder may do in the repository now. `None`: nothing, for whatever reason. An upload needs the
/// right to push.
pub fn verify_token(
    directory: &dyn Directory,
    seed: &TokenSeed,
    request: &LfsVerifyRequest,
    now: Time,
) -> Result<Option<(LfsTokenHolder, LfsAccess)>, DirectoryError> {
    let Some(holder) = find_holder(directory, &request.login)? else { return Ok(None) };
    let Some(repository) = find_lfs_repository(directory, request.gl_repository.as_deref(), request.project.as_deref())? else {
        return Ok(None);
    };
    if !is_token_of(seed, &holder, &request.token, &repository, now) || !may_use_git(directory, &holder, now)? {
        return Ok(None);
    }
    let may = |action| -> Result<bool, DirectoryError> {
        let decision = decide(directory, &allowed_request(&holder, &repository, action), now)?.decision;
        Ok(matches!(decision, AccessDecision::Granted(_)))
    };
    if may(Action::ReceivePack)? {
        return Ok(Some((holder, LfsAccess::Write)));
    }
    let reads = request.operation != Some(LfsOperation::Upload) && may(Action::UploadPack)?;
    Ok(reads.then_some((holder, LfsAccess::Read)))
}

/// Returns the URL of a repository over HTTP, `<web_url>/<path>.git`.
#[must_use]
pub fn repository_http_url(web_url: &str, repository: &Repository) -> String {
    format!("{}/{}.git", web_url.trim_end_matches('/'), repository.path())
}

fn find_lfs_repository(
    directory: &dyn Directory,
    gl_repository: Option<&str>,
    project: Option<&str>,
) -> Result<Option<Repository>, DirectoryError> {
    let repository = find_repository(directory, gl_repository, project)?.repository;
    Ok(repository.filter(|repository| match repository {
        Repository::Project(project) | Repository::Wiki(project) | Repository::Design(project) => project.lfs_enabled,
        Repository::Snippet(..) => false,
    }))
}

/// Finds who presents a token with this login.
pub fn find_holder(directory: &dyn Directory, login: &str) -> Result<Option<LfsTokenHolder>, DirectoryError> {
    let Some(id) = login.strip_prefix(DEPLOY_KEY_LOGIN_PREFIX) else {
        return Ok(directory.user_by_username(login)?.map(LfsTokenHolder::User));
    };
    let Ok(id) = id.parse() else { return Ok(None) };
    Ok(match resolve_actor(directory, &ClaimedActor::Key(Some(id)))? {
        Actor::DeployKey(key, _) => Some(LfsTokenHolder::DeployKey(key)),
        _ => None,
    })
}

/// Returns whether the holder's account may still use Git.
fn may_use_git(directory: &dyn Directory, holder: &LfsTokenHolder, now: Time) -> Result<bool, DirectoryError> {
    Ok(match holder {
        LfsTokenHolder::User(user) => account::account_refusal(user, directory.settings()?.as_ref(), now).is_none(),
        LfsTokenHolder::DeployKey(_) => true,
    })
}

/// Returns what the holder asks for with the token.
fn allowed_request(holder: &LfsTokenHolder, repository: &Repository, action: Action) -> AllowedRequest {
    let claimed_actor = match holder {
        LfsTokenHolder::User(user) => ClaimedActor::User(Some(user.id)),
        LfsTokenHolder::DeployKey(key) => ClaimedActor::Key(Some(key.id)),
    };
    AllowedRequest {
        gl_repository: Some(repository.gl_repository()),
        ..AllowedRequest::new(claimed_actor, action, Protocol::Web, RefChanges::Absent)
    }
}
