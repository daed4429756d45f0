//! An actor's access to a project: the namespaces above it, and the actor's role in it. (server.md 3.3)

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::directory::{Directory, DirectoryError};
use crate::model::enums::{AccessLevel, Visibility};
use crate::model::id::Id;
use crate::model::record::{Namespace, Project};
use crate::model::time::Time;
use crate::rules::access_level::{highest_access_level_within, is_complete, self_and_ancestors};
use crate::rules::context::DecisionContext;
use crate::rules::ip_allowlist;

/// The role of an actor in one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectRole {
    /// An unknown actor, a key without a user, or a deploy key of other projects.
    Anonymous,
    /// A user without a role.
    NonMember {
        /// Whether it is an external user.
        external: bool,
    },
    /// A user with a role. An admin counts as an owner.
    Member {
        /// The highest role.
        level: AccessLevel,
        /// Whether it is an external user.
        external: bool,
    },
    /// A deploy key of this project.
    DeployKey {
        /// Whether it may push.
        can_push: bool,
    },
}

/// A project and the access of one actor to it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct ProjectAccess {
    pub project: Arc<Project>,
    /// The namespaces above it, nearest first.
    pub namespaces: Vec<Arc<Namespace>>,
    pub role: ProjectRole,
}

impl ProjectRole {
    /// Returns the access level, if it is a user with a role.
    #[must_use]
    pub const fn access_level(self) -> Option<AccessLevel> {
        match self {
            Self::Member { level, .. } => Some(level),
            Self::Anonymous | Self::NonMember { .. } | Self::DeployKey { .. } => None,
        }
    }

    /// Returns whether the access level is at least `least`.
    #[must_use]
    pub fn is_at_least(self, least: AccessLevel) -> bool {
        self.access_level() >= Some(least)
    }

    /// Returns whether this role sees a project of this visibility at all.
    #[must_use]
    pub const fn can_see(self, visibility: Visibility) -> bool {
        match (self, visibility) {
            (_, Visibility::Public) | (Self::Member { .. } | Self::DeployKey { .. }, _) => true,
            (Self::NonMember { external }, Visibility::Internal) => !external,
            (Self::NonMember { .. } | Self::Anonymous, _) => false,
        }
    }
}

impl ProjectAccess {
    /// Loads the namespaces above `project` and the role of `actor` in it.
    pub fn load(directory: &dyn Directory, actor: &Actor, project: &Arc<Project>, now: Time) -> Result<Self, DirectoryError> {
        let ancestors = self_and_ancestors(directory, project.namespace_id)?;
        let role = match actor {
            Actor::Unknown | Actor::OrphanedKey(_) => ProjectRole::Anonymous,
            Actor::User(user, _) if user.admin => ProjectRole::Member { level: AccessLevel::Owner, external: false },
            Actor::User(user, _) => match highest_access_level_within(directory, user.id, Some(project.id), &ancestors, now)? {
                Some(level) => ProjectRole::Member { level, external: user.external },
                None => ProjectRole::NonMember { external: user.external },
            },
            Actor::DeployKey(key, _) => match directory.deploy_grant(key.id, project.id)? {
                Some(grant) => ProjectRole::DeployKey { can_push: grant.can_push },
                None => ProjectRole::Anonymous,
            },
        };
        Ok(Self { project: Arc::clone(project), namespaces: ancestors, role })
    }

    /// Returns the root namespace.
    #[must_use]
    pub fn root_namespace(&self) -> Option<&Namespace> {
        self.namespaces.last().map(AsRef::as_ref)
    }

    /// Returns the root namespace's id.
    #[must_use]
    pub fn root_namespace_id(&self) -> Option<Id> {
        self.root_namespace().map(|root| root.id)
    }

    /// 9e: returns whether the actor sees the project, which nobody does if a namespace above it is missing.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.role.can_see(self.project.visibility) && is_complete(&self.namespaces)
    }

    /// 9e and 9f: returns whether the actor sees the project from the request's address. An admin does from every address.
    #[must_use]
    pub fn is_readable(&self, context: &DecisionContext) -> bool {
        let admin = matches!(&context.actor, Actor::User(user, _) if user.admin);
        self.is_visible() && (admin || ip_allowlist::is_ip_allowed(self.root_namespace(), context.request.check_ip.as_deref()))
    }

    /// Returns whether the project or anything above it is archived.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.project.archived || self.namespaces.iter().any(|namespace| namespace.archived)
    }
}
