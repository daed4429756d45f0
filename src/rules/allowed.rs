//! `allowed`: may this actor do this to this repository? The checks in their order. (server.md 3)
//!
//! Each step is one rule with a file of its own; the first that refuses is the answer. Steps 1 to 3 come before any project is
//! looked up, so that a blocked account learns that it is blocked and nothing else.

use std::sync::Arc;

use crate::model::access_decision::{AccessDecision, AccessEvaluation, AccessGrant, Actor, Repository};
use crate::model::access_request::AllowedRequest;
use crate::model::directory::{Directory, DirectoryError, read_at_one_moment};
use crate::model::record::Project;
use crate::model::time::Time;
use crate::rules::account;
use crate::rules::changes;
use crate::rules::context::DecisionContext;
use crate::rules::design;
use crate::rules::download;
use crate::rules::instance;
use crate::rules::key_rules;
use crate::rules::namespace;
use crate::rules::project_access::ProjectAccess;
use crate::rules::project_creation;
use crate::rules::push;
use crate::rules::refusal_reason::{CheckError, CheckResult, RefusalReason};
use crate::rules::repository::{RepositoryKind, RepositorySelector};
use crate::rules::snippet;
use crate::rules::wiki;

/// Decides a request, by the directory as it is at one moment. Pure: the same directory, request and time give the same decision. Changes
/// that are listed are checked line by line, as far as that can be done without the repository; absent ones are decided as `_any`, and such
/// a push creates no project.
pub fn decide(directory: &dyn Directory, request: &AllowedRequest, now: Time) -> Result<AccessEvaluation, DirectoryError> {
    read_at_one_moment(directory, || evaluate(directory, request, now))
}

fn evaluate(directory: &dyn Directory, request: &AllowedRequest, now: Time) -> Result<AccessEvaluation, DirectoryError> {
    let context = DecisionContext::load(directory, request, now)?;
    let decision = match run_checks(&context) {
        Ok(decision) => decision,
        Err(CheckError::Refused(reason)) => AccessDecision::Denied(reason.to_refusal()),
        Err(CheckError::Directory(error)) => return Err(error),
    };
    Ok(AccessEvaluation { decision, actor: context.actor, found_by: context.lookup.found_by })
}

fn run_checks(context: &DecisionContext) -> CheckResult<AccessDecision> {
    check_repository_id(context)?;
    check_snippet_exists(context)?;
    instance::check_maintenance(context)?;
    instance::check_second_factor(context)?;
    instance::check_protocol(context)?;
    key_rules::check(context)?;
    account::check(context)?;
    let access = load_readable_project(context)?;
    if context.lookup.kind == RepositoryKind::Design && (access.is_some() || context.lookup.selector == RepositorySelector::Id) {
        design::check(context, access.as_ref())?;
        return grant(context, access.as_ref());
    }
    instance::check_action(context)?;
    instance::check_writable(context)?;
    namespace::check_certificate_namespace(context, access.as_ref())?;
    namespace::check_path_has_namespace(context)?;
    if let Some(creation) = project_creation::check(context)? {
        return Ok(AccessDecision::CreatesProject(creation));
    }
    check_visible(context, access.as_ref())?;
    check_repository(context, access.as_ref())?;
    grant(context, access.as_ref())
}

/// Refuses a `gl_repository` of no known form, which is neither found nor missing.
fn check_repository_id(context: &DecisionContext) -> CheckResult {
    if context.lookup.selector == RepositorySelector::Unknown { Err(RefusalReason::RepositoryWord.into()) } else { Ok(()) }
}

/// Refuses a snippet that does not exist, before anything else is checked.
fn check_snippet_exists(context: &DecisionContext) -> CheckResult {
    let missing = context.lookup.kind == RepositoryKind::Snippet && context.lookup.repository.is_none();
    if missing { Err(RefusalReason::SnippetNotFound.into()) } else { Ok(()) }
}

/// Loads the project of the repository, if the actor may see it.
fn load_readable_project(context: &DecisionContext) -> CheckResult<Option<ProjectAccess>> {
    let Some(project) = context.lookup.repository.as_ref().and_then(Repository::project) else { return Ok(None) };
    let access = ProjectAccess::load(context.directory, &context.actor, project, context.now)?;
    Ok(Some(access).filter(|access| access.is_readable(context)))
}

/// 9d to 9f: the repository exists and the actor may see it; the answer does not reveal which of the two fails. A wiki requested by its
/// id is a missing wiki; requested by a path it is a missing project, as any missing path is.
fn check_visible(context: &DecisionContext, access: Option<&ProjectAccess>) -> CheckResult {
    let own_snippet = matches!(context.lookup.repository, Some(Repository::Snippet(_, None)));
    if access.is_some() || own_snippet {
        return Ok(());
    }
    let by_id = context.lookup.selector == RepositorySelector::Id;
    Err(if context.lookup.kind == RepositoryKind::Wiki && by_id { RefusalReason::WikiNotFound } else { RefusalReason::ProjectNotFound }
        .into())
}

/// 10 and 11: the repository exists, and the action on it is allowed.
fn check_repository(context: &DecisionContext, access: Option<&ProjectAccess>) -> CheckResult {
    match (&context.lookup.repository, access) {
        (Some(Repository::Snippet(found, _)), access) => snippet::check(context, found, access),
        (Some(Repository::Wiki(project)), Some(access)) => {
            require_exists(project.wiki_repository_exists, RefusalReason::WikiMissing)?;
            if context.is_push() { wiki::check_push(context, access) } else { wiki::check_pull(access) }
        }
        (Some(Repository::Project(project)), Some(access)) => {
            require_exists(project.repository_exists, RefusalReason::RepositoryMissing)?;
            if !context.is_push() {
                return download::check(access);
            }
            push::check(context, access)?;
            changes::check(context, access)
        }
        (Some(Repository::Design(_)) | None, _) | (_, None) => Err(RefusalReason::ProjectNotFound.into()),
    }
}

fn require_exists(exists: bool, otherwise: RefusalReason) -> CheckResult {
    if exists { Ok(()) } else { Err(otherwise.into()) }
}

/// Grants what has passed all checks; not a repository on a storage that the directory lacks, because no client could reach it.
fn grant(context: &DecisionContext, access: Option<&ProjectAccess>) -> CheckResult<AccessDecision> {
    let Some(repository) = context.lookup.repository.clone() else { return Err(RefusalReason::ProjectNotFound.into()) };
    let storage = context.directory.storage(repository.storage())?;
    require_exists(storage.is_some(), RefusalReason::StorageMissing)?;
    Ok(AccessDecision::Granted(Box::new(AccessGrant {
        actor: context.actor.clone(),
        repository,
        storage,
        settings: Arc::clone(&context.settings),
        root_namespace: access.and_then(ProjectAccess::root_namespace_id),
        console_messages: key_rules::expiry_notice(context),
    })))
}

/// Returns whether anybody may download a project's code: then agents of other projects see it too. (server.md 2.13)
pub fn can_anonymous_download(directory: &dyn Directory, project: &Arc<Project>, now: Time) -> Result<bool, DirectoryError> {
    let access = ProjectAccess::load(directory, &Actor::Unknown, project, now)?;
    Ok(access.is_visible() && download::check(&access).is_ok())
}
