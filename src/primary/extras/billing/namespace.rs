//! The namespace that a request names, by id or by path, and who may see it.

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

/// What the owner of a token may see of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceAccess {
    /// Everything: an administrator, or the namespace's owner.
    Owner,
    /// That it exists.
    Visible,
    /// Nothing.
    Hidden,
}

/// Returns the namespace that the path segment after `namespaces` names; 404 if there is none.
pub fn requested_namespace(state: &PrimaryState, request: &ApiRequest) -> Result<Arc<Namespace>, ApiError> {
    let mut segments = request.segments().iter().skip_while(|segment| *segment != "namespaces").skip(1);
    let name = segments.next().map(String::as_str).unwrap_or_default();
    find_namespace(&state.store.directory(), name)?.ok_or_else(|| ApiError::not_found("Namespace"))
}

/// Returns a namespace by its id or its path. Digits alone are an id.
pub fn find_namespace(directory: &dyn Directory, id_or_path: &str) -> LookupResult<Namespace> {
    if id_or_path.bytes().all(|byte| byte.is_ascii_digit()) {
        return id_or_path.parse().map_or(Ok(None), |id| directory.namespace(id));
    }
    directory.namespace_by_path(id_or_path)
}

/// Returns what the owner of a token may see of a namespace.
pub fn namespace_access(
    directory: &dyn Directory,
    owner: &TokenOwner,
    namespace: &Namespace,
    now: Time,
) -> Result<NamespaceAccess, ApiError> {
    let user = match owner {
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
