//! `allowed`: may this actor do this to this repository? The checks in their order. (server.md 3)
//!
//! Each step is one rule with a file of its own; the first that refuses is what is said. Steps 1 to 3 come before any project is
//! looked at, so that a blocked account learns that it is blocked and nothing else.

use std::sync::Arc;

use crate::model::access_decision::{AccessDecision, AccessEvaluation, AccessGrant, Actor, Repository};
use crate::model::access_request::AllowedRequest;
use crate::model::directory::{Directory, DirectoryError};
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

/// Decides a question. Pure: the same directory, question and time give the same judgement. Real changes are looked at line by line,
/// as far as that can be done without the repository; absent ones are decided as `_any`, and a push of them creates nothing.
pub fn decide(directory: &dyn Directory, question: &AllowedRequest, now: Time) -> Result<AccessEvaluation, DirectoryError> {
    let case = DecisionContext::load(directory, question, now)?;
    let verdict = match run_checks(&case) {
        Ok(verdict) => verdict,
        Err(CheckError::Refused(reason)) => AccessDecision::Denied(reason.to_refusal()),
        Err(CheckError::Directory(fault)) => return Err(fault),
    };
    Ok(AccessEvaluation { decision: verdict, actor: case.actor, found_by: case.lookup.found_by })
}

fn run_checks(case: &DecisionContext) -> CheckResult<AccessDecision> {
    check_repository_id(case)?;
    check_snippet_exists(case)?;
    instance::check_maintenance(case)?;
    instance::check_second_factor(case)?;
    instance::check_protocol(case)?;
    key_rules::check(case)?;
    account::check(case)?;
    let ground = load_readable_project(case)?;
    if case.lookup.kind == RepositoryKind::Design && (ground.is_some() || case.lookup.selector == RepositorySelector::Id) {
        design::check(case, ground.as_ref())?;
        return grant(case, ground.as_ref());
    }
    instance::check_action(case)?;
    instance::check_writable(case)?;
    namespace::check_certificate_namespace(case, ground.as_ref())?;
    namespace::check_path_has_namespace(case)?;
    if let Some(creation) = project_creation::check(case)? {
        return Ok(AccessDecision::CreatesProject(creation));
    }
    check_visible(case, ground.as_ref())?;
    check_repository(case, ground.as_ref())?;
    grant(case, ground.as_ref())
}

/// Neither found nor missing: a `gl_repository` that is no such word.
fn check_repository_id(case: &DecisionContext) -> CheckResult {
    if case.lookup.selector == RepositorySelector::Unknown { Err(RefusalReason::RepositoryWord.into()) } else { Ok(()) }
}

/// Of a snippet, that there is one is looked at before anything else.
fn check_snippet_exists(case: &DecisionContext) -> CheckResult {
    let missing = case.lookup.kind == RepositoryKind::Snippet && case.lookup.repository.is_none();
    if missing { Err(RefusalReason::SnippetNotFound.into()) } else { Ok(()) }
}

/// The project that the repository is of, if the actor sees it.
fn load_readable_project(case: &DecisionContext) -> CheckResult<Option<ProjectAccess>> {
    let Some(project) = case.lookup.repository.as_ref().and_then(Repository::project) else { return Ok(None) };
    let ground = ProjectAccess::load(case.directory, &case.actor, project, case.now)?;
    Ok(Some(ground).filter(|ground| ground.is_readable(case)))
}

/// 9d to 9f: it is there and may be seen; the answer does not tell which of them is not so. A wiki asked for by its id is missing as a
/// wiki; asked for by a path it is missing as what a missing path is, a project.
fn check_visible(case: &DecisionContext, ground: Option<&ProjectAccess>) -> CheckResult {
    let own_snippet = matches!(case.lookup.repository, Some(Repository::Snippet(_, None)));
    if ground.is_some() || own_snippet {
        return Ok(());
    }
    let by_id = case.lookup.selector == RepositorySelector::Id;
    Err(if case.lookup.kind == RepositoryKind::Wiki && by_id { RefusalReason::WikiNotFound } else { RefusalReason::ProjectNotFound }.into())
}

/// 10 and 11: the repository exists, and this may be done to it.
fn check_repository(case: &DecisionContext, ground: Option<&ProjectAccess>) -> CheckResult {
    match (&case.lookup.repository, ground) {
        (Some(Repository::Snippet(found, _)), ground) => snippet::check(case, found, ground),
        (Some(Repository::Wiki(project)), Some(ground)) => {
            require_exists(project.wiki_repository_exists, RefusalReason::WikiMissing)?;
            if case.is_push() { wiki::check_push(case, ground) } else { wiki::check_pull(ground) }
        }
        (Some(Repository::Project(project)), Some(ground)) => {
            require_exists(project.repository_exists, RefusalReason::RepositoryMissing)?;
            if !case.is_push() {
                return download::check(ground);
            }
            push::check(case, ground)?;
            changes::check(case, ground)
        }
        (Some(Repository::Design(_)) | None, _) | (_, None) => Err(RefusalReason::ProjectNotFound.into()),
    }
}

fn require_exists(exists: bool, otherwise: RefusalReason) -> CheckResult {
    if exists { Ok(()) } else { Err(otherwise.into()) }
}

fn grant(case: &DecisionContext, ground: Option<&ProjectAccess>) -> CheckResult<AccessDecision> {
    let Some(repository) = case.lookup.repository.clone() else { return Err(RefusalReason::ProjectNotFound.into()) };
    let storage = case.directory.storage(repository.storage())?;
    Ok(AccessDecision::Granted(Box::new(AccessGrant {
        actor: case.actor.clone(),
        repository,
        storage,
        settings: Arc::clone(&case.settings),
        root_namespace: ground.and_then(ProjectAccess::root_namespace_id),
        console_messages: key_rules::expiry_notice(case),
    })))
}

/// Whether anybody at all may download a project's code: what a project is shown to agents of others by. (server.md 2.13)
pub fn can_anonymous_download(directory: &dyn Directory, project: &Arc<Project>, now: Time) -> Result<bool, DirectoryError> {
    let ground = ProjectAccess::load(directory, &Actor::Unknown, project, now)?;
    Ok(ground.role.can_see(project.visibility) && download::check(&ground).is_ok())
}
