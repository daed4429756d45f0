//! Whether code, or a wiki, may be downloaded: role, visibility and how far the feature is open. (server.md 3.4)

use crate::model::enums::{AccessLevel, FeatureAccess, Visibility};
use crate::rules::project_access::{ProjectAccess, ProjectRole};
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// 11a: the code may be downloaded.
pub fn check(access: &ProjectAccess) -> CheckResult {
    let project = &access.project;
    if feature_allows_download(access.role, project.visibility, project.repository_access) {
        Ok(())
    } else {
        Err(RefusalReason::Download.into())
    }
}

/// Returns whether a feature with this access setting is open for download to a role. A disabled one is closed to its owner too.
#[must_use]
pub fn feature_allows_download(role: ProjectRole, visibility: Visibility, feature: FeatureAccess) -> bool {
    let member = matches!(role, ProjectRole::Member { .. } | ProjectRole::DeployKey { .. });
    match feature {
        FeatureAccess::Disabled => false,
        FeatureAccess::Private => member && visibility_allows_download(role, visibility),
        FeatureAccess::Enabled => visibility_allows_download(role, visibility),
    }
}

/// Returns whether the visibility alone permits the download. A guest of a private project sees it and may not download its code; nor may
/// an external guest of an internal project.
fn visibility_allows_download(role: ProjectRole, visibility: Visibility) -> bool {
    match (role, visibility) {
        (_, Visibility::Public) | (ProjectRole::DeployKey { .. }, _) => true,
        (ProjectRole::Member { external: false, .. }, Visibility::Internal) => true,
        (ProjectRole::NonMember { external }, Visibility::Internal) => !external,
        (role, _) => role.is_at_least(AccessLevel::Reporter),
    }
}
