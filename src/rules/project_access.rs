//! The ground of a decision about a project: what stands above it, and how the actor stands to it. (server.md 3.3; DESIGN 3)

use std::sync::Arc;

use crate::model::access_decision::Actor;
use crate::model::directory::{Directory, DirectoryError};
use crate::model::enums::{AccessLevel, Visibility};
use crate::model::id::Id;
use crate::model::record::{Namespace, Project};
use crate::model::time::Time;
use crate::rules::access_level::{highest_access_level_within, self_and_ancestors};
use crate::rules::context::DecisionContext;
use crate::rules::ip_allowlist;

/// How an actor stands to one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectRole {
    /// Nobody known; a key without a user; a deploy key of other projects.
    Anonymous,
    /// A person without a role.
    NonMember {
        /// Whether it is somebody from outside the company.
        external: bool,
    },
    /// A person with a role. An admin stands as an owner.
    Member {
        /// The highest role.
        level: AccessLevel,
        /// Whether it is somebody from outside the company.
        external: bool,
    },
    /// A deploy key of this project.
    DeployKey {
        /// Whether it may push.
        can_push: bool,
    },
}

/// A project, seen by one actor.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct ProjectAccess {
    pub project: Arc<Project>,
    /// The namespaces above it, nearest first.
    pub namespaces: Vec<Arc<Namespace>>,
    pub role: ProjectRole,
}

impl ProjectRole {
    /// The role, if it is a person with one.
    #[must_use]
    pub const fn access_level(self) -> Option<AccessLevel> {
        match self {
            Self::Member { level, .. } => Some(level),
            Self::Anonymous | Self::NonMember { .. } | Self::DeployKey { .. } => None,
        }
    }

    /// Whether the role is at least `least`.
    #[must_use]
    pub fn is_at_least(self, least: AccessLevel) -> bool {
        self.access_level() >= Some(least)
    }

    /// Whether somebody who stands so sees a project of this visibility at all.
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
    /// Finds what stands above `project` and how `actor` stands to it.
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

    /// The root namespace.
    #[must_use]
    pub fn root_namespace(&self) -> Option<&Namespace> {
        self.namespaces.last().map(AsRef::as_ref)
    }

    /// The root namespace's id.
    #[must_use]
    pub fn root_namespace_id(&self) -> Option<Id> {
        self.root_namespace().map(|root| root.id)
    }

    /// 9e and 9f: whether the actor sees the project from where it asks. An admin does from everywhere.
    #[must_use]
    pub fn is_readable(&self, context: &DecisionContext) -> bool {
        let admin = matches!(&context.actor, Actor::User(user, _) if user.admin);
        self.role.can_see(self.project.visibility)
            && (admin || ip_allowlist::is_ip_allowed(self.root_namespace(), context.request.check_ip.as_deref()))
    }

    /// Whether the project or anything above it is archived.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.project.archived || self.namespaces.iter().any(|namespace| namespace.archived)
    }
}
