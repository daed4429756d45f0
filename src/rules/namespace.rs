//! Rules on the namespace of a path: that there is one, and that a group's certificate is used within it. (server.md 3.1: 9a, 9b)

use crate::model::enums::NamespaceType;
use crate::model::record::Namespace;
use crate::rules::context::DecisionContext;
use crate::rules::project_access::ProjectAccess;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};
use crate::rules::repository::RepositorySelector;

/// 9a: a certificate of a group is good for what is under that root group, nothing else. `access` is given only if the project is
/// readable; otherwise the path alone decides, so that this rule does not reveal which projects exist.
pub fn check_certificate_namespace(context: &DecisionContext, access: Option<&ProjectAccess>) -> CheckResult {
    let Some(expected) = &context.request.namespace_path else { return Ok(()) };
    if context.has_known_changes() {
        return Ok(());
    }
    let is_certificate_group = |root: &Namespace| {
        root.namespace_type == NamespaceType::Group && root.parent_id.is_none() && root.path.eq_ignore_ascii_case(expected)
    };
    let within = match (access, &context.lookup.selector) {
        (Some(access), _) => access.root_namespace().is_some_and(is_certificate_group),
        (None, RepositorySelector::Path(path)) => {
            let first = path.split('/').next().unwrap_or_default();
            context.directory.namespace_by_path(first)?.is_some_and(|root| is_certificate_group(&root))
        }
        (None, RepositorySelector::Id | RepositorySelector::Unknown) => false,
    };
    if within { Ok(()) } else { Err(RefusalReason::NamespaceRule.into()) }
}

/// 9b: the path has a namespace before its last segment, and no segment is empty.
pub fn check_path_has_namespace(context: &DecisionContext) -> CheckResult {
    match &context.lookup.selector {
        RepositorySelector::Path(path) if split_namespace(path).is_none() => Err(RefusalReason::NamespaceNotFound.into()),
        _ => Ok(()),
    }
}

/// Splits a path into its namespace and its last segment; `None` if either is missing or a segment is empty.
#[must_use]
pub fn split_namespace(path: &str) -> Option<(&str, &str)> {
    let whole = path.split('/').all(|segment| !segment.is_empty());
    path.rsplit_once('/').filter(|_| whole)
}
