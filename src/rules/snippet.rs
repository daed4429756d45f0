//! Snippets, a person's and a project's. (server.md 3.7)

use crate::model::access_decision::Actor;
use crate::model::enums::{AccessLevel, Visibility};
use crate::model::record::Snippet;
use crate::rules::context::DecisionContext;
use crate::rules::project_access::ProjectAccess;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// Checks the action on a snippet that exists and whose project, if it has one, is readable.
pub fn check(context: &DecisionContext, snippet: &Snippet, access: Option<&ProjectAccess>) -> CheckResult {
    if matches!(context.actor, Actor::DeployKey(..)) {
        return Err(RefusalReason::SnippetActor.into());
    }
    if !snippet.repository_exists {
        return Err(RefusalReason::SnippetMissing.into());
    }
    if !context.is_push() {
        return if can_read(&context.actor, snippet, access) { Ok(()) } else { Err(RefusalReason::SnippetRead.into()) };
    }
    if snippet.repository_read_only {
        return Err(RefusalReason::RepositoryReadOnly.into());
    }
    if can_write(&context.actor, snippet, access) { Ok(()) } else { Err(RefusalReason::SnippetWrite.into()) }
}

fn can_read(actor: &Actor, snippet: &Snippet, access: Option<&ProjectAccess>) -> bool {
    let level = access.and_then(|access| access.role.access_level());
    let is_author = matches!(actor, Actor::User(user, _) if user.admin || user.id == snippet.author_id);
    is_author
        || match snippet.visibility {
            Visibility::Public => true,
            Visibility::Internal => level.is_some() || matches!(actor, Actor::User(user, _) if !user.external),
            Visibility::Private => level >= Some(AccessLevel::Reporter),
        }
}

fn can_write(actor: &Actor, snippet: &Snippet, access: Option<&ProjectAccess>) -> bool {
    let Actor::User(user, _) = actor else { return false };
    if access.is_some_and(ProjectAccess::is_archived) {
        return false;
    }
    let is_maintainer = access.is_some_and(|access| access.role.is_at_least(AccessLevel::Maintainer));
    user.admin || user.id == snippet.author_id || is_maintainer
}
