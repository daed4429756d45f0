//! A project's designs: by the web interface only. (server.md 3.7)

use crate::model::access_request::Protocol;
use crate::model::enums::AccessLevel;
use crate::rules::context::DecisionContext;
use crate::rules::project_access::ProjectAccess;
use crate::rules::refusal_reason::{CheckResult, RefusalReason};

/// Checks the use of designs. `access` is given only if the project exists and is readable: requested by an id, a missing project and
/// an unreadable one give the same answer. (Requested by a path both are a missing project, and this is not called.)
pub fn check(context: &DecisionContext, access: Option<&ProjectAccess>) -> CheckResult {
    if context.request.protocol != Protocol::Web {
        return Err(RefusalReason::DesignProtocol.into());
    }
    let allowed = access.is_some_and(|access| access.role.is_at_least(AccessLevel::Developer) && !access.is_archived());
    if allowed { Ok(()) } else { Err(RefusalReason::Design.into()) }
}
