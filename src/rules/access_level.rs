//! How much access a user has to a project: the highest of every role that reaches it. (server.md 3.3)

use std::sync::Arc;

use crate::model::directory::{Container, Directory, DirectoryError};
use crate::model::enums::{AccessLevel, NamespaceType};
use crate::model::id::Id;
use crate::model::record::{Namespace, Project};
use crate::model::time::Time;

/// The most namespaces above a project; a longer chain, or a cycle, is an error and never grants access.
pub const MAX_NAMESPACE_DEPTH: usize = 20;

/// Returns the highest role of `user` in `project` at `now`: from memberships there and in any ancestor, from shares of either, and
/// from owning the personal namespace. Pending and expired memberships do not count. Ignores whether the user is an admin.
pub fn highest_access_level(
    directory: &dyn Directory,
    user: Id,
    project: &Project,
    now: Time,
) -> Result<Option<AccessLevel>, DirectoryError> {
    highest_access_level_within(directory, user, Some(project.id), &self_and_ancestors(directory, project.namespace_id)?, now)
}

/// As [`highest_access_level`], where the namespaces above are known already, nearest first. Without a project, returns the role in the
/// nearest namespace.
pub fn highest_access_level_within(
    directory: &dyn Directory,
    user: Id,
    project: Option<Id>,
    above: &[Arc<Namespace>],
    now: Time,
) -> Result<Option<AccessLevel>, DirectoryError> {
    let containers: Vec<_> = project.map(Container::Project).into_iter().chain(namespace_containers(above)).collect();
    let mut highest = owner_access_level(above, user).max(membership_access_level(directory, user, &containers, now)?);
    for container in containers {
        for share in directory.shares(container)? {
            if share.expires_at.is_some_and(|end| end <= now) || highest >= Some(share.access_level) {
                continue;
            }
            let group: Vec<_> = namespace_containers(&self_and_ancestors(directory, share.with_namespace_id)?).collect();
            let within = membership_access_level(directory, user, &group, now)?;
            highest = highest.max(within.map(|level| level.min(share.access_level)));
        }
    }
    Ok(highest)
}

/// Returns whether these namespaces, nearest first, reach up to a root. If not, one is missing or a field of it breaks its grammar: what it
/// restricts is not known, so nothing below it is answered.
#[must_use]
pub fn is_complete(above: &[Arc<Namespace>]) -> bool {
    above.last().is_some_and(|root| root.parent_id.is_none())
}

/// Returns the namespace itself and all above it, nearest first, as far as they are found.
pub fn self_and_ancestors(directory: &dyn Directory, namespace: Id) -> Result<Vec<Arc<Namespace>>, DirectoryError> {
    let mut chain: Vec<Arc<Namespace>> = Vec::new();
    let mut next = Some(namespace);
    while let Some(id) = next {
        if chain.len() == MAX_NAMESPACE_DEPTH {
            return Err(DirectoryError(format!("more than {MAX_NAMESPACE_DEPTH} namespaces above namespace {namespace}, or a circle")));
        }
        let Some(found) = directory.namespace(id)? else { break };
        next = found.parent_id;
        chain.push(found);
    }
    Ok(chain)
}

fn owner_access_level(ancestors: &[Arc<Namespace>], user: Id) -> Option<AccessLevel> {
    let nearest = ancestors.first()?;
    (nearest.namespace_type == NamespaceType::User && nearest.owner_id == Some(user)).then_some(AccessLevel::Owner)
}

fn membership_access_level(
    directory: &dyn Directory,
    user: Id,
    containers: &[Container],
    now: Time,
) -> Result<Option<AccessLevel>, DirectoryError> {
    let mut highest = None;
    for container in containers {
        let member = directory.member(*container, user)?;
        let counts = member.filter(|member| !member.pending && member.expires_at.is_none_or(|end| end > now));
        highest = highest.max(counts.map(|member| member.access_level));
    }
    Ok(highest)
}

fn namespace_containers(ancestors: &[Arc<Namespace>]) -> impl Iterator<Item = Container> {
    ancestors.iter().map(|namespace| Container::Namespace(namespace.id))
}

#[cfg(test)]
mod tests {
    use super::highest_access_level;
    use crate::model::directory::{Directory, DirectoryError};
    use crate::model::enums::AccessLevel;
    use crate::model::memory_directory::MemoryDirectory;

    /// Groups 1 > 2, project 9 in 2, group 3 beside them; and what the test adds.
    fn user_access_level(more: &[&str]) -> Result<Option<AccessLevel>, DirectoryError> {
        let directory = [
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"namespace","id":2,"type":"group","path":"a/b","name":"b","parent_id":1}"#,
            r#"{"kind":"namespace","id":3,"type":"group","path":"c","name":"c"}"#,
            r#"{"kind":"project","id":9,"namespace_id":2,"path":"a/b/p","name":"p","relative_path":"p.git"}"#,
        ];
        let directory = MemoryDirectory::from_lines(directory.iter().chain(more).copied());
        let project = directory.project(9.try_into().unwrap()).unwrap().unwrap();
        highest_access_level(&directory, 7.try_into().unwrap(), &project, "2026-06-01T00:00:00Z".parse().unwrap())
    }

    const SHARE: &str = r#"{"kind":"share","namespace_id":1,"with_namespace_id":3,"access_level":30}"#;

    #[test]
    fn the_highest_role_on_the_way_up_counts() {
        let guest = r#"{"kind":"member","project_id":9,"user_id":7,"access_level":10}"#;
        let above = r#"{"kind":"member","namespace_id":1,"user_id":7,"access_level":40}"#;
        assert_eq!(user_access_level(&[]), Ok(None));
        assert_eq!(user_access_level(&[guest]), Ok(Some(AccessLevel::Guest)));
        assert_eq!(user_access_level(&[guest, above]), Ok(Some(AccessLevel::Maintainer)));
    }

    #[test]
    fn a_share_gives_the_lower_of_both_roles() {
        for (level, expected) in [(20, AccessLevel::Reporter), (50, AccessLevel::Developer)] {
            let member = format!(r#"{{"kind":"member","namespace_id":3,"user_id":7,"access_level":{level}}}"#);
            assert_eq!(user_access_level(&[SHARE, &member]), Ok(Some(expected)));
        }
    }

    #[test]
    fn pending_and_expired_memberships_count_nothing() {
        for end in [r#""pending":true"#, r#""expires_at":"2026-06-01T00:00:00Z""#] {
            let member = format!(r#"{{"kind":"member","project_id":9,"user_id":7,"access_level":50,{end}}}"#);
            assert_eq!(user_access_level(&[&member]), Ok(None), "{end}");
        }
    }

    #[test]
    fn a_cycle_of_namespaces_is_an_error_and_grants_no_access() {
        let circle = r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a","parent_id":2}"#;
        assert!(user_access_level(&[circle]).is_err());
    }
}
