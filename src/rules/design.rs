//! A project's designs: by the web interface only. (server.md 3.7)

use crate::model::level::AccessLevel;
use crate::model::question::Protocol;
use crate::rules::case::Case;
use crate::rules::ground::Ground;
use crate::rules::refusal::{Check, Reason};

/// Whether the designs may be used. `ground` only if there is a project and it is readable: asked for by an id, what is not there and
/// what may not be seen get the same answer. (At a path both are a missing project, and this is not asked.)
pub fn check(case: &Case, ground: Option<&Ground>) -> Check {
    if case.question.protocol != Protocol::Web {
        return Err(Reason::DesignProtocol.into());
    }
    let may = ground.is_some_and(|ground| ground.standing.reaches(AccessLevel::Developer) && !ground.archived());
    if may { Ok(()) } else { Err(Reason::Design.into()) }
}
