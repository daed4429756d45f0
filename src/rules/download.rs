//! Whether code, or a wiki, may be downloaded: role, visibility and how far the feature is open. (server.md 3.4)

use crate::model::level::{AccessLevel, FeatureAccess, Visibility};
use crate::rules::ground::{Ground, Standing};
use crate::rules::refusal::{Check, Reason};

/// 11a: the code may be downloaded.
pub fn check(ground: &Ground) -> Check {
    let project = &ground.project;
    if open(ground.standing, project.visibility, project.repository_access) { Ok(()) } else { Err(Reason::Download.into()) }
}

/// Whether a feature that stands at `feature` is open for download to who stands so. A disabled one is closed to its owner too.
#[must_use]
pub fn open(standing: Standing, visibility: Visibility, feature: FeatureAccess) -> bool {
    let member = matches!(standing, Standing::Role { .. } | Standing::Attached { .. });
    match feature {
        FeatureAccess::Disabled => false,
        FeatureAccess::Private => member && downloads(standing, visibility),
        FeatureAccess::Enabled => downloads(standing, visibility),
    }
}

/// A guest of a private project sees it and may not have its code; nor may a guest from outside of an internal one.
fn downloads(standing: Standing, visibility: Visibility) -> bool {
    match (standing, visibility) {
        (_, Visibility::Public) | (Standing::Attached { .. }, _) => true,
        (Standing::Role { external: false, .. }, Visibility::Internal) => true,
        (Standing::Outsider { external }, Visibility::Internal) => !external,
        (standing, _) => standing.reaches(AccessLevel::Reporter),
    }
}
