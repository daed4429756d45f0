//! Which namespace a path speaks of, by number or by path, and who may see it.

use std::sync::Arc;

use crate::api::error::ApiError;
use crate::api::request::ApiRequest;
use crate::model::directory::{Directory, LookupResult};
use crate::model::enums::{AccessLevel, NamespaceType, Visibility};
use crate::model::record::Namespace;
use crate::model::time::Time;
use crate::primary::callers::token_owner::TokenOwner;
use crate::primary::state::PrimaryState;
use crate::rules::access_level::{highest_access_level_within, self_and_ancestors};

/// Who somebody is to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceAccess {
    /// An administrator, or the namespace's owner.
    Owner,
    /// Somebody who knows that it is there.
    Visible,
    /// Somebody to whom it is not there.
    Hidden,
}

/// The namespace of the segment after `namespaces`; 404 without one.
pub fn requested_namespace(state: &PrimaryState, call: &ApiRequest) -> Result<Arc<Namespace>, ApiError> {
    let mut segments = call.segments.iter().skip_while(|segment| *segment != "namespaces").skip(1);
    let asked = segments.next().map(String::as_str).unwrap_or_default();
    find_namespace(&state.store.directory(), asked)?.ok_or_else(|| ApiError::not_found("Namespace"))
}

/// A namespace by its number or its path. Digits alone are a number.
pub fn find_namespace(directory: &dyn Directory, asked: &str) -> LookupResult<Namespace> {
    if asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return asked.parse().map_or(Ok(None), |id| directory.namespace(id));
    }
    directory.namespace_by_path(asked)
}

/// Who the holder of a token is to a namespace.
pub fn namespace_access(
    directory: &dyn Directory,
    holder: &TokenOwner,
    namespace: &Namespace,
    now: Time,
) -> Result<NamespaceAccess, ApiError> {
    let user = match holder {
        TokenOwner::Admin => return Ok(NamespaceAccess::Owner),
        TokenOwner::User(user, _) if user.admin => return Ok(NamespaceAccess::Owner),
        TokenOwner::User(user, _) => user,
    };
    let role = highest_access_level_within(directory, user.id, None, &self_and_ancestors(directory, namespace.id)?, now)?;
    let open = match namespace.visibility {
        Visibility::Public => true,
        Visibility::Internal => !user.external,
        Visibility::Private => namespace.namespace_type == NamespaceType::User,
    };
    Ok(match role {
        Some(AccessLevel::Owner) => NamespaceAccess::Owner,
        Some(_) => NamespaceAccess::Visible,
        None if open => NamespaceAccess::Visible,
        None => NamespaceAccess::Hidden,
    })
}
