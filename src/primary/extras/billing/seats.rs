//! How many seats a namespace uses: the users who are members of it, of anything below it, or of a group that any of that is shared with.
//! Each user counts once; only active users count, and no bots.

use std::collections::BTreeSet;

use crate::api::error::ApiError;
use crate::model::directory::{Container, Directory as _};
use crate::model::enums::{NamespaceType, UserState};
use crate::model::id::Id;
use crate::model::record::Namespace;
use crate::model::time::Time;
use crate::rules::access_level::self_and_ancestors;
use crate::store::error::StoreError;
use crate::store::generations::generation::Generation;

/// Counts the seats that a namespace uses. Blocks.
pub fn count_seats(directory: &Generation, namespace: &Namespace, now: Time) -> Result<u64, ApiError> {
    let mut members = BTreeSet::new();
    let mut groups = BTreeSet::new();
    if namespace.namespace_type == NamespaceType::User {
        members.extend(namespace.owner_id);
    }
    for below in directory.namespace_subtree(namespace.id)? {
        let projects = directory.direct_project_ids(below)?.into_iter().map(Container::Project);
        for container in [Container::Namespace(below)].into_iter().chain(projects) {
            members.extend(active_members(directory, container, now)?);
            let shares = directory.shares(container)?;
            let counts = shares.iter().filter(|share| share.expires_at.is_none_or(|end| end > now));
            groups.extend(counts.map(|share| share.with_namespace_id));
        }
    }
    for group in groups {
        for above in self_and_ancestors(directory, group)? {
            members.extend(active_members(directory, Container::Namespace(above.id), now)?);
        }
    }
    let mut seats = 0;
    for id in members {
        let user = directory.user(id)?;
        seats += u64::from(user.is_some_and(|user| user.state == UserState::Active && !user.bot));
    }
    Ok(seats)
}

fn active_members(directory: &Generation, container: Container, now: Time) -> Result<Vec<Id>, StoreError> {
    let members = directory.direct_members(container)?.into_iter();
    Ok(members.filter(|member| !member.pending && member.expires_at.is_none_or(|end| end > now)).map(|member| member.user_id).collect())
}
