//! A project's designs: by the web interface only. (server.md 3.7)

use crate::model::level::AccessLevel;
use crate::model::question::Protocol;
use crate::rules::case::Case;
use crate::rules::ground::Ground;
use crate::rules::refusal::{Check, Reason};
use crate::rules::repository::Asked;

/// Whether the designs may be used. `ground` only if there is a project and it is readable: at a path where there is nothing to be
/// seen the answer is that of a missing project, and by an id it is the same for every id.
pub fn check(case: &Case, ground: Option<&Ground>) -> Check {
    if ground.is_none() && matches!(case.sought.asked, Asked::Path(_)) {
        return Err(Reason::ProjectNotFound.into());
    }
    if case.question.protocol != Protocol::Web {
        return Err(Reason::DesignProtocol.into());
    }
    let may = ground.is_some_and(|ground| ground.standing.reaches(AccessLevel::Developer) && !ground.archived());
    if may { Ok(()) } else { Err(Reason::Design.into()) }
}
