//! `allowed`: may this actor do this to this repository? The checks in their order. (server.md 3)
//!
//! Each step is one rule with a file of its own; the first that refuses is what is said. Steps 1 to 3 come before any project is
//! looked at, so that a blocked account learns that it is blocked and nothing else.

use std::sync::Arc;

use crate::model::directory::{Directory, Fault};
use crate::model::question::Question;
use crate::model::record::Project;
use crate::model::time::Time;
use crate::model::verdict::{Actor, Grant, Judgement, Repository, Verdict};
use crate::rules::case::Case;
use crate::rules::ground::Ground;
use crate::rules::refusal::{Check, Reason, Stop};
use crate::rules::repository::{Asked, Kind};
use crate::rules::{account, changes, creation, design, download, instance, key_rules, namespace, push, snippet, wiki};

/// Decides a question. Pure: the same directory, question and time give the same judgement. Real changes are looked at line by line,
/// as far as that can be done without the repository; absent ones are decided as `_any`, and a push of them creates nothing.
pub fn decide(directory: &dyn Directory, question: &Question, now: Time) -> Result<Judgement, Fault> {
    let case = Case::of(directory, question, now)?;
    let verdict = match judge(&case) {
        Ok(verdict) => verdict,
        Err(Stop::Refused(reason)) => Verdict::Refused(reason.refusal()),
        Err(Stop::Broken(fault)) => return Err(fault),
    };
    Ok(Judgement { verdict, actor: case.actor, found: case.sought.found })
}

fn judge(case: &Case) -> Check<Verdict> {
    well_formed(case)?;
    snippet_exists(case)?;
    instance::maintained(case)?;
    instance::second_factor(case)?;
    instance::protocol(case)?;
    key_rules::check(case)?;
    account::check(case)?;
    let ground = readable(case)?;
    if case.sought.kind == Kind::Design && (ground.is_some() || case.sought.asked == Asked::Id) {
        design::check(case, ground.as_ref())?;
        return granted(case, ground.as_ref());
    }
    instance::command(case)?;
    instance::writable(case)?;
    namespace::certificate(case, ground.as_ref())?;
    namespace::named(case)?;
    if let Some(creation) = creation::check(case)? {
        return Ok(Verdict::Creates(creation));
    }
    visible(case, ground.as_ref())?;
    by_kind(case, ground.as_ref())?;
    granted(case, ground.as_ref())
}

/// Neither found nor missing: a `gl_repository` that is no such word.
fn well_formed(case: &Case) -> Check {
    if case.sought.asked == Asked::Unknown { Err(Reason::RepositoryWord.into()) } else { Ok(()) }
}

/// Of a snippet, that there is one is looked at before anything else.
fn snippet_exists(case: &Case) -> Check {
    let missing = case.sought.kind == Kind::Snippet && case.sought.repository.is_none();
    if missing { Err(Reason::SnippetNotFound.into()) } else { Ok(()) }
}

/// The project that the repository is of, if the actor sees it.
fn readable(case: &Case) -> Check<Option<Ground>> {
    let Some(project) = case.sought.repository.as_ref().and_then(Repository::project) else { return Ok(None) };
    let ground = Ground::of(case.directory, &case.actor, project, case.now)?;
    Ok(Some(ground).filter(|ground| ground.readable(case)))
}

/// 9d to 9f: it is there and may be seen; the answer does not tell which of them is not so. A wiki asked for by its id is missing as a
/// wiki; asked for by a path it is missing as what a missing path is, a project.
fn visible(case: &Case, ground: Option<&Ground>) -> Check {
    let own_snippet = matches!(case.sought.repository, Some(Repository::Snippet(_, None)));
    if ground.is_some() || own_snippet {
        return Ok(());
    }
    let by_id = case.sought.asked == Asked::Id;
    Err(if case.sought.kind == Kind::Wiki && by_id { Reason::WikiNotFound } else { Reason::ProjectNotFound }.into())
}

/// 10 and 11: the repository exists, and this may be done to it.
fn by_kind(case: &Case, ground: Option<&Ground>) -> Check {
    match (&case.sought.repository, ground) {
        (Some(Repository::Snippet(found, _)), ground) => snippet::check(case, found, ground),
        (Some(Repository::Wiki(project)), Some(ground)) => {
            there(project.wiki_repository_exists, Reason::WikiMissing)?;
            if case.pushes() { wiki::push(case, ground) } else { wiki::pull(ground) }
        }
        (Some(Repository::Project(project)), Some(ground)) => {
            there(project.repository_exists, Reason::RepositoryMissing)?;
            if !case.pushes() {
                return download::check(ground);
            }
            push::check(case, ground)?;
            changes::check(case, ground)
        }
        (Some(Repository::Design(_)) | None, _) | (_, None) => Err(Reason::ProjectNotFound.into()),
    }
}

fn there(exists: bool, otherwise: Reason) -> Check {
    if exists { Ok(()) } else { Err(otherwise.into()) }
}

fn granted(case: &Case, ground: Option<&Ground>) -> Check<Verdict> {
    let Some(repository) = case.sought.repository.clone() else { return Err(Reason::ProjectNotFound.into()) };
    let storage = case.directory.storage(repository.storage())?;
    Ok(Verdict::Granted(Box::new(Grant {
        actor: case.actor.clone(),
        repository,
        storage,
        settings: Arc::clone(&case.settings),
        root_namespace: ground.and_then(Ground::root_id),
        console: key_rules::console(case),
    })))
}

/// Whether anybody at all may download a project's code: what a project is shown to agents of others by. (server.md 2.13)
pub fn anonymous_may_download(directory: &dyn Directory, project: &Arc<Project>, now: Time) -> Result<bool, Fault> {
    let ground = Ground::of(directory, &Actor::Nobody, project, now)?;
    Ok(ground.standing.sees(project.visibility) && download::check(&ground).is_ok())
}
