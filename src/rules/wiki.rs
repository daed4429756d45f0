//! A project's wiki: read as the code is, but by its own feature; written from Developer on. (server.md 3.7)

use crate::model::enums::{AccessLevel, FeatureAccess};
use crate::rules::context::DecisionContext;
use crate::rules::download::feature_allows_download;
use crate::rules::project_access::{ProjectAccess, ProjectRole};
use crate::rules::push::check_uploader;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// Checks a pull of a wiki. A deploy key gives access to code, not to a wiki: here it counts as anonymous.
pub fn check_pull(access: &ProjectAccess) -> CheckResult {
    let role = match access.role {
        ProjectRole::DeployKey { .. } => ProjectRole::Anonymous,
        other => other,
    };
    if feature_allows_download(role, access.project.visibility, access.project.wiki_access) {
        Ok(())
    } else {
        Err(RefusalReason::WikiDownload.into())
    }
}

/// Checks a push to a wiki. Its changes are not checked.
pub fn check_push(context: &DecisionContext, access: &ProjectAccess) -> CheckResult {
    if access.project.repository_read_only {
        return Err(RefusalReason::RepositoryReadOnly.into());
    }
    check_uploader(&context.actor, access.role)?;
    let open = access.project.wiki_access != FeatureAccess::Disabled && !access.is_archived();
    if open && access.role.is_at_least(AccessLevel::Developer) { Ok(()) } else { Err(RefusalReason::WikiWrite.into()) }
}
