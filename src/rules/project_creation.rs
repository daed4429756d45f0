//! The project that a first push would create. (server.md 3.6)

use std::sync::Arc;

use crate::model::access_decision::{Actor, NewProject};
use crate::model::access_request::RefChanges;
use crate::model::enums::{AccessLevel, NamespaceType, ProjectCreation};
use crate::model::path_grammar::check_name;
use crate::model::record::{Namespace, User};
use crate::rules::access_level::{highest_access_level_within, is_complete, self_and_ancestors};
use crate::rules::context::DecisionContext;
use crate::rules::ip_allowlist;
use crate::rules::namespace::split_namespace;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};
use crate::rules::repository::RepositorySelector;

/// What follows a project's path in the paths of its wiki and its designs.
const WIKI_AND_DESIGN_SUFFIXES: [&str; 2] = [".wiki", ".design"];

/// 9c: returns the project that this push creates, if there is none and the user may create it. If the user may not, no reason is given,
/// because it would reveal which namespaces exist.
pub fn check(context: &DecisionContext) -> CheckResult<Option<NewProject>> {
    let (Actor::User(user, _), RepositorySelector::Path(path)) = (&context.actor, &context.lookup.selector) else { return Ok(None) };
    if !context.is_push()
        || context.request.changes != RefChanges::Any
        || context.lookup.repository.is_some()
        || context.lookup.is_shared
        || is_wiki_design_or_snippet_path(path)
    {
        return Ok(None);
    }
    let Some((above, name)) = split_namespace(path) else { return Ok(None) };
    let Some(namespace) = context.directory.namespace_by_path(above)? else { return Ok(None) };
    if !can_create_project(context, user, &namespace)? {
        return Ok(None);
    }
    let path = format!("{}/{name}", namespace.path);
    if let Err(reason) = check_name(name) {
        return Err(RefusalReason::ProjectNotMade { detail: format!("Path {reason}") }.into());
    }
    let is_taken = context.directory.namespace_by_path(&path)?.is_some() || context.directory.is_path_unanswered(&path)?;
    if is_taken || is_wiki_path_taken(context, &path)? {
        return Err(RefusalReason::ProjectNotMade { detail: "Path has already been taken".to_owned() }.into());
    }
    Ok(Some(NewProject { user: Arc::clone(user), namespace_id: namespace.id, path }))
}

/// Returns whether the wiki or the designs of a project at this path would stand where another project is, or was before it was renamed.
fn is_wiki_path_taken(context: &DecisionContext, path: &str) -> CheckResult<bool> {
    for suffix in WIKI_AND_DESIGN_SUFFIXES {
        let beside = format!("{path}{suffix}");
        let directory = context.directory;
        let is_taken = directory.project_by_path(&beside)?.is_some() || directory.is_path_unanswered(&beside)?;
        if is_taken || directory.project_by_former_path(&beside)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns whether the path has the form of a snippet, a wiki or designs: then a project of that name could never be reached.
fn is_wiki_design_or_snippet_path(path: &str) -> bool {
    let snippet = path.rsplit('/').nth(1).is_some_and(|segment| segment.eq_ignore_ascii_case("snippets"));
    // In any case: `x.WIKI` and `x.wiki` are one path.
    let path = path.to_ascii_lowercase();
    snippet || WIKI_AND_DESIGN_SUFFIXES.iter().any(|suffix| path.ends_with(suffix))
}

fn can_create_project(context: &DecisionContext, user: &User, namespace: &Namespace) -> CheckResult<bool> {
    let ancestors = self_and_ancestors(context.directory, namespace.id)?;
    let from_here = user.admin || ip_allowlist::is_ip_allowed(ancestors.last().map(AsRef::as_ref), context.request.check_ip.as_deref());
    if !from_here || !is_complete(&ancestors) || ancestors.iter().any(|namespace| namespace.archived) {
        return Ok(false);
    }
    if namespace.namespace_type == NamespaceType::User {
        let own = namespace.owner_id == Some(user.id) && !user.bot && !user.external && user.projects_limit > 0;
        return Ok(own && context.directory.count_projects_in(namespace.id)? < u64::from(user.projects_limit));
    }
    let least = match namespace.project_creation {
        ProjectCreation::Developer => AccessLevel::Developer,
        ProjectCreation::Maintainer => AccessLevel::Maintainer,
        ProjectCreation::Owner => AccessLevel::Owner,
        ProjectCreation::Noone => return Ok(false),
    };
    Ok(user.admin || highest_access_level_within(context.directory, user.id, None, &ancestors, context.now)? >= Some(least))
}
