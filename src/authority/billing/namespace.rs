//! Which namespace a path speaks of, by number or by path, and who may see it.

use std::sync::Arc;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::credentials::holder::Holder;
use crate::authority::refusal::Refusal;
use crate::model::directory::{Directory, Found};
use crate::model::level::{AccessLevel, NamespaceType, Visibility};
use crate::model::record::Namespace;
use crate::model::time::Time;
use crate::rules::access::{lineage, role_along};

/// Who somebody is to a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An administrator, or the namespace's owner.
    Owner,
    /// Somebody who knows that it is there.
    Onlooker,
    /// Somebody to whom it is not there.
    Stranger,
}

/// The namespace of the segment after `namespaces`; 404 without one.
pub fn named(house: &Authority, call: &Call) -> Result<Arc<Namespace>, Refusal> {
    let mut segments = call.segments.iter().skip_while(|segment| *segment != "namespaces").skip(1);
    let asked = segments.next().map(String::as_str).unwrap_or_default();
    find(&house.store.directory(), asked)?.ok_or_else(|| Refusal::not_found("Namespace"))
}

/// A namespace by its number or its path. Digits alone are a number.
pub fn find(directory: &dyn Directory, asked: &str) -> Found<Namespace> {
    if asked.bytes().all(|byte| byte.is_ascii_digit()) {
        return asked.parse().map_or(Ok(None), |id| directory.namespace(id));
    }
    directory.namespace_at(asked)
}

/// Who the holder of a token is to a namespace.
pub fn standing(directory: &dyn Directory, holder: &Holder, namespace: &Namespace, now: Time) -> Result<Standing, Refusal> {
    let user = match holder {
        Holder::Admin => return Ok(Standing::Owner),
        Holder::User(user, _) if user.admin => return Ok(Standing::Owner),
        Holder::User(user, _) => user,
    };
    let role = role_along(directory, user.id, None, &lineage(directory, namespace.id)?, now)?;
    let open = match namespace.visibility {
        Visibility::Public => true,
        Visibility::Internal => !user.external,
        Visibility::Private => namespace.namespace_type == NamespaceType::User,
    };
    Ok(match role {
        Some(AccessLevel::Owner) => Standing::Owner,
        Some(_) => Standing::Onlooker,
        None if open => Standing::Onlooker,
        None => Standing::Stranger,
    })
}
