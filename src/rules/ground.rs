//! The ground of a decision about a project: what stands above it, and how the actor stands to it. (server.md 3.3; DESIGN 3)

use std::sync::Arc;

use crate::model::directory::{Directory, Fault};
use crate::model::id::Id;
use crate::model::level::{AccessLevel, Visibility};
use crate::model::record::{Namespace, Project};
use crate::model::time::Time;
use crate::model::verdict::Actor;
use crate::rules::access::{lineage, role_along};
use crate::rules::case::Case;
use crate::rules::ip;

/// How an actor stands to one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody known; a key without a user; a deploy key of other projects.
    Anonymous,
    /// A person without a role.
    Outsider {
        /// Whether it is somebody from outside the company.
        external: bool,
    },
    /// A person with a role. An admin stands as an owner.
    Role {
        /// The highest role.
        level: AccessLevel,
        /// Whether it is somebody from outside the company.
        external: bool,
    },
    /// A deploy key of this project.
    Attached {
        /// Whether it may push.
        can_push: bool,
    },
}

/// A project, seen by one actor.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct Ground {
    pub project: Arc<Project>,
    /// The namespaces above it, nearest first.
    pub lineage: Vec<Arc<Namespace>>,
    pub standing: Standing,
}

impl Standing {
    /// The role, if it is a person with one.
    #[must_use]
    pub const fn level(self) -> Option<AccessLevel> {
        match self {
            Self::Role { level, .. } => Some(level),
            Self::Anonymous | Self::Outsider { .. } | Self::Attached { .. } => None,
        }
    }

    /// Whether the role is at least `least`.
    #[must_use]
    pub fn reaches(self, least: AccessLevel) -> bool {
        self.level() >= Some(least)
    }

    /// Whether somebody who stands so sees a project of this visibility at all.
    #[must_use]
    pub const fn sees(self, visibility: Visibility) -> bool {
        match (self, visibility) {
            (_, Visibility::Public) | (Self::Role { .. } | Self::Attached { .. }, _) => true,
            (Self::Outsider { external }, Visibility::Internal) => !external,
            (Self::Outsider { .. } | Self::Anonymous, _) => false,
        }
    }
}

impl Ground {
    /// Finds what stands above `project` and how `actor` stands to it.
    pub fn of(directory: &dyn Directory, actor: &Actor, project: &Arc<Project>, now: Time) -> Result<Self, Fault> {
        let lineage = lineage(directory, project.namespace_id)?;
        let standing = match actor {
            Actor::Nobody | Actor::Orphan(_) => Standing::Anonymous,
            Actor::User(user, _) if user.admin => Standing::Role { level: AccessLevel::Owner, external: false },
            Actor::User(user, _) => match role_along(directory, user.id, Some(project.id), &lineage, now)? {
                Some(level) => Standing::Role { level, external: user.external },
                None => Standing::Outsider { external: user.external },
            },
            Actor::DeployKey(key, _) => match directory.deploy_grant(key.id, project.id)? {
                Some(grant) => Standing::Attached { can_push: grant.can_push },
                None => Standing::Anonymous,
            },
        };
        Ok(Self { project: Arc::clone(project), lineage, standing })
    }

    /// The root namespace.
    #[must_use]
    pub fn root(&self) -> Option<&Namespace> {
        self.lineage.last().map(AsRef::as_ref)
    }

    /// The root namespace's id.
    #[must_use]
    pub fn root_id(&self) -> Option<Id> {
        self.root().map(|root| root.id)
    }

    /// 9e and 9f: whether the actor sees the project from where it asks. An admin does from everywhere.
    #[must_use]
    pub fn readable(&self, case: &Case) -> bool {
        let admin = matches!(&case.actor, Actor::User(user, _) if user.admin);
        self.standing.sees(self.project.visibility) && (admin || ip::allowed(self.root(), case.question.check_ip.as_deref()))
    }

    /// Whether the project or anything above it is archived.
    #[must_use]
    pub fn archived(&self) -> bool {
        self.project.archived || self.lineage.iter().any(|namespace| namespace.archived)
    }
}
