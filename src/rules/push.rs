//! Whether somebody may push to a project. (server.md 3.1: 11b to 11g, and 3.5)

use crate::model::access_decision::Actor;
use crate::model::enums::{AccessLevel, FeatureAccess};
use crate::rules::context::DecisionContext;
use crate::rules::project_access::{ProjectAccess, ProjectRole};
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// 11b to 11g: the actor may push. Where the repository feature is disabled nobody may, not even a deploy key.
pub fn check(context: &DecisionContext, access: &ProjectAccess) -> CheckResult {
    if access.project.repository_read_only {
        return Err(RefusalReason::RepositoryReadOnly.into());
    }
    if access.is_archived() {
        return Err(RefusalReason::Archived.into());
    }
    check_uploader(&context.actor, access.role)?;
    let allowed = access.role.is_at_least(AccessLevel::Developer) || matches!(access.role, ProjectRole::DeployKey { can_push: true });
    if allowed && access.project.repository_access != FeatureAccess::Disabled { Ok(()) } else { Err(RefusalReason::Push.into()) }
}

/// 11d and 11e: the actor is one that can push at all.
pub fn check_uploader(actor: &Actor, role: ProjectRole) -> CheckResult {
    match actor {
        Actor::DeployKey(..) if role != (ProjectRole::DeployKey { can_push: true }) => Err(RefusalReason::DeployKeyReadOnly.into()),
        Actor::Unknown | Actor::OrphanedKey(_) => Err(RefusalReason::NoUploader.into()),
        Actor::DeployKey(..) | Actor::User(..) => Ok(()),
    }
}
