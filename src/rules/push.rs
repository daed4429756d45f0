//! Whether somebody may push to a project. (server.md 3.1: 11b to 11g, and 3.5)

use crate::model::level::{AccessLevel, FeatureAccess};
use crate::model::verdict::Actor;
use crate::rules::case::Case;
use crate::rules::ground::{Ground, Standing};
use crate::rules::refusal::{Check, Reason};

/// 11b to 11g. Where the repository is switched off nobody pushes, a deploy key neither.
pub fn check(case: &Case, ground: &Ground) -> Check {
    if ground.project.repository_read_only {
        return Err(Reason::RepositoryReadOnly.into());
    }
    if ground.archived() {
        return Err(Reason::Archived.into());
    }
    uploader(&case.actor, ground.standing)?;
    let may = ground.standing.reaches(AccessLevel::Developer) || matches!(ground.standing, Standing::Attached { can_push: true });
    if may && ground.project.repository_access != FeatureAccess::Disabled { Ok(()) } else { Err(Reason::Push.into()) }
}

/// 11d and 11e: somebody who can push anything at all.
pub fn uploader(actor: &Actor, standing: Standing) -> Check {
    match actor {
        Actor::DeployKey(..) if standing != (Standing::Attached { can_push: true }) => Err(Reason::DeployKeyReadOnly.into()),
        Actor::Nobody | Actor::Orphan(_) => Err(Reason::NoUploader.into()),
        Actor::DeployKey(..) | Actor::User(..) => Ok(()),
    }
}
