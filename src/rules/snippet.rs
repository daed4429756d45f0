//! Snippets, a person's and a project's. (server.md 3.7)

use crate::model::level::{AccessLevel, Visibility};
use crate::model::record::Snippet;
use crate::model::verdict::Actor;
use crate::rules::case::Case;
use crate::rules::ground::Ground;
use crate::rules::refusal::{Check, Reason};

/// What is asked of a snippet once it is found and its project, if it has one, is readable.
pub fn check(case: &Case, snippet: &Snippet, ground: Option<&Ground>) -> Check {
    if matches!(case.actor, Actor::DeployKey(..)) {
        return Err(Reason::SnippetActor.into());
    }
    if !snippet.repository_exists {
        return Err(Reason::SnippetMissing.into());
    }
    if !case.pushes() {
        return if reads(&case.actor, snippet, ground) { Ok(()) } else { Err(Reason::SnippetRead.into()) };
    }
    if snippet.repository_read_only {
        return Err(Reason::RepositoryReadOnly.into());
    }
    if writes(&case.actor, snippet, ground) { Ok(()) } else { Err(Reason::SnippetWrite.into()) }
}

fn reads(actor: &Actor, snippet: &Snippet, ground: Option<&Ground>) -> bool {
    let level = ground.and_then(|ground| ground.standing.level());
    let own = matches!(actor, Actor::User(user, _) if user.admin || user.id == snippet.author_id);
    own || match snippet.visibility {
        Visibility::Public => true,
        Visibility::Internal => level.is_some() || matches!(actor, Actor::User(user, _) if !user.external),
        Visibility::Private => level >= Some(AccessLevel::Reporter),
    }
}

fn writes(actor: &Actor, snippet: &Snippet, ground: Option<&Ground>) -> bool {
    let Actor::User(user, _) = actor else { return false };
    if ground.is_some_and(Ground::archived) {
        return false;
    }
    let keeper = ground.is_some_and(|ground| ground.standing.reaches(AccessLevel::Maintainer));
    user.admin || user.id == snippet.author_id || keeper
}
