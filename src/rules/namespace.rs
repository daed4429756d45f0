//! What a path says of namespaces: that it names one, and that a group's certificate reaches it. (server.md 3.1: 9a, 9b; cases.md O11)

use crate::model::level::NamespaceType;
use crate::model::record::Namespace;
use crate::rules::case::Case;
use crate::rules::ground::Ground;
use crate::rules::refusal::{Check, Reason};
use crate::rules::repository::Asked;

/// 9a: who came with a certificate of one group uses what is under that root group, nothing else. `ground` only if it is readable:
/// where there is nothing to be seen, the path alone decides, so that this rule tells nobody what is there.
pub fn certificate(case: &Case, ground: Option<&Ground>) -> Check {
    let Some(wanted) = &case.question.namespace_path else { return Ok(()) };
    if case.is_the_hook() {
        return Ok(());
    }
    let reaches = |root: &Namespace| {
        root.namespace_type == NamespaceType::Group && root.parent_id.is_none() && root.path.eq_ignore_ascii_case(wanted)
    };
    let within = match (ground, &case.sought.asked) {
        (Some(ground), _) => ground.root().is_some_and(reaches),
        (None, Asked::Path(path)) => {
            let first = path.split('/').next().unwrap_or_default();
            case.directory.namespace_at(first)?.is_some_and(|root| reaches(&root))
        }
        (None, Asked::Id | Asked::Unknown) => false,
    };
    if within { Ok(()) } else { Err(Reason::NamespaceRule.into()) }
}

/// 9b: the path has a namespace before its last segment, and no segment is empty.
pub fn named(case: &Case) -> Check {
    match &case.sought.asked {
        Asked::Path(path) if split(path).is_none() => Err(Reason::NamespaceNotFound.into()),
        _ => Ok(()),
    }
}

/// A path as its namespace and its last segment; `None` if either is missing or a segment is empty.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    let whole = path.split('/').all(|segment| !segment.is_empty());
    path.rsplit_once('/').filter(|_| whole)
}
