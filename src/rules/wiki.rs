//! A project's wiki: read as the code is, but by its own feature; written from Developer on. (server.md 3.7)

use crate::model::level::{AccessLevel, FeatureAccess};
use crate::rules::case::Case;
use crate::rules::download::open;
use crate::rules::ground::{Ground, Standing};
use crate::rules::push::uploader;
use crate::rules::refusal::{Check, Reason};

/// A pull of a wiki. A deploy key is attached to code, not to a wiki: here it is nobody.
pub fn pull(ground: &Ground) -> Check {
    let standing = match ground.standing {
        Standing::Attached { .. } => Standing::Anonymous,
        other => other,
    };
    if open(standing, ground.project.visibility, ground.project.wiki_access) { Ok(()) } else { Err(Reason::WikiDownload.into()) }
}

/// A push to a wiki. Its changes are not looked at.
pub fn push(case: &Case, ground: &Ground) -> Check {
    if ground.project.repository_read_only {
        return Err(Reason::RepositoryReadOnly.into());
    }
    uploader(&case.actor, ground.standing)?;
    let open = ground.project.wiki_access != FeatureAccess::Disabled && !ground.archived();
    if open && ground.standing.reaches(AccessLevel::Developer) { Ok(()) } else { Err(Reason::WikiWrite.into()) }
}
