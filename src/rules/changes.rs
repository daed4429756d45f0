//! The second request of a push, from Gitaly's hook: the ref updates that are about to be made. (server.md 3.8)
//!
//! What needs the repository cannot be decided here: whether an update discards history, whether a merge commit is that of a merge
//! request, whether a repository is still empty, how large a file is. `docs/decisions.md` describes what follows from that. A tag or
//! branch exists if its old revision, as Gitaly sends it, is not all zeros.

use crate::model::access_request::{Protocol, RefChanges};
use crate::model::enums::{AccessLevel, Protection};
use crate::model::record::ProtectedBranch;
use crate::rules::context::DecisionContext;
use crate::rules::project_access::{ProjectAccess, ProjectRole};
use crate::rules::refusal_reason::{CheckResult, RefusalReason};
use crate::rules::wildcard::matches_wildcard;

/// Checks every line and refuses the first that is not allowed. Changes that are not known yet pass.
pub fn check(context: &DecisionContext, access: &ProjectAccess) -> CheckResult {
    let RefChanges::Listed(text) = &context.request.changes else { return Ok(()) };
    let via_web = context.request.protocol == Protocol::Web;
    let policy = RefUpdatePolicy { role: access.role, via_web, default_branch: &access.project.default_branch };
    let (mut branches, mut tags) = (None, None);
    for line in parse_ref_updates(text) {
        let change = line.map_err(|line| RefusalReason::ChangeLine { line })?;
        match change.name {
            RefName::Branch(name) => {
                if branches.is_none() {
                    branches = Some(context.directory.protected_branches(access.project.id)?);
                }
                let matching_rules = branches.iter().flatten().filter(|rule| matches_wildcard(&rule.pattern, name));
                policy.check_branch(&change, name, &matching_rules.map(AsRef::as_ref).collect::<Vec<_>>())?;
            }
            RefName::Tag(name) => {
                if tags.is_none() {
                    tags = Some(context.directory.protected_tags(access.project.id)?);
                }
                let matching_rules = tags.iter().flatten().filter(|rule| matches_wildcard(&rule.pattern, name));
                policy.check_tag(&change, &matching_rules.map(|rule| rule.create).collect::<Vec<_>>())?;
            }
            RefName::Other => {}
        }
    }
    Ok(())
}

/// What a line does to its ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefUpdateKind {
    Create,
    Update,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefName<'a> {
    Branch(&'a str),
    Tag(&'a str),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RefUpdate<'a> {
    kind: RefUpdateKind,
    name: RefName<'a>,
}

struct RefUpdatePolicy<'a> {
    role: ProjectRole,
    via_web: bool,
    default_branch: &'a str,
}

impl RefUpdatePolicy<'_> {
    /// Checks a branch. `protected` are the rules whose patterns match it; without any it is not protected.
    fn check_branch(&self, change: &RefUpdate, name: &str, protected: &[&ProtectedBranch]) -> CheckResult {
        if change.kind == RefUpdateKind::Delete && name == self.default_branch {
            return Err(RefusalReason::DefaultBranchDeleted.into());
        }
        if change.kind != RefUpdateKind::Delete && is_hex_branch_name(name) {
            return Err(RefusalReason::HexadecimalBranch.into());
        }
        if protected.is_empty() {
            return Ok(());
        }
        let pushes = self.is_allowed_by_any(protected.iter().map(|rule| rule.push));
        match change.kind {
            RefUpdateKind::Create | RefUpdateKind::Update if pushes => Ok(()),
            RefUpdateKind::Create if !self.is_allowed_by_any(protected.iter().map(|rule| rule.merge)) => {
                Err(RefusalReason::ProtectedBranchCreate.into())
            }
            RefUpdateKind::Create if !self.via_web => Err(RefusalReason::ProtectedBranchCreateOutsideWeb.into()),
            RefUpdateKind::Create => Err(RefusalReason::ProtectedBranchBasis.into()),
            RefUpdateKind::Update => Err(RefusalReason::ProtectedBranchPush.into()),
            RefUpdateKind::Delete if !self.role.is_at_least(AccessLevel::Maintainer) => Err(RefusalReason::ProtectedBranchDelete.into()),
            RefUpdateKind::Delete if !self.via_web => Err(RefusalReason::ProtectedBranchDeleteOutsideWeb.into()),
            RefUpdateKind::Delete => Ok(()),
        }
    }

    /// Checks a tag. `protected` are the rules whose patterns match it, each with the role that may create it.
    fn check_tag(&self, change: &RefUpdate, protected: &[Protection]) -> CheckResult {
        if change.kind != RefUpdateKind::Create && !self.role.is_at_least(AccessLevel::Developer) {
            return Err(RefusalReason::ExistingTag.into());
        }
        if protected.is_empty() {
            return Ok(());
        }
        match change.kind {
            RefUpdateKind::Update => Err(RefusalReason::ProtectedTagUpdate.into()),
            RefUpdateKind::Delete if !self.role.is_at_least(AccessLevel::Maintainer) => Err(RefusalReason::ProtectedTagDelete.into()),
            RefUpdateKind::Delete if !self.via_web => Err(RefusalReason::ProtectedTagDeleteOutsideWeb.into()),
            RefUpdateKind::Create if !self.is_allowed_by_any(protected.iter().copied()) => Err(RefusalReason::ProtectedTagCreate.into()),
            RefUpdateKind::Delete | RefUpdateKind::Create => Ok(()),
        }
    }

    /// Returns whether any of the rules lets the role through: of several, the most permissive counts. A deploy key has no role, so
    /// it passes none.
    fn is_allowed_by_any(&self, mut protected: impl Iterator<Item = Protection>) -> bool {
        protected.any(|protection| match protection {
            Protection::Noone => false,
            Protection::Maintainer => self.role.is_at_least(AccessLevel::Maintainer),
            Protection::Developer => self.role.is_at_least(AccessLevel::Developer),
        })
    }
}

/// Parses `old new ref` lines. Empty lines are skipped; a line of another form is an error with its number, counted from 1.
fn parse_ref_updates(text: &str) -> impl Iterator<Item = Result<RefUpdate<'_>, usize>> {
    let numbered = text.split('\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    numbered.map(|(index, line)| parse_ref_update(line.strip_suffix('\r').unwrap_or(line)).ok_or(index + 1))
}

fn parse_ref_update(line: &str) -> Option<RefUpdate<'_>> {
    let mut words = line.splitn(3, ' ');
    let (old, new, name) = (words.next()?, words.next()?, words.next()?);
    if !is_object_id(old) || !is_object_id(new) || old.len() != new.len() || !is_valid_ref_name(name) {
        return None;
    }
    let kind = match (is_null_object_id(old), is_null_object_id(new)) {
        (true, false) => RefUpdateKind::Create,
        (false, true) => RefUpdateKind::Delete,
        (false, false) => RefUpdateKind::Update,
        (true, true) => return None,
    };
    let name_kind = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => RefName::Branch(branch),
        (_, Some(tag)) => RefName::Tag(tag),
        _ => RefName::Other,
    };
    Some(RefUpdate { kind, name: name_kind })
}

/// Returns whether this is an object id: 40 hex digits, or 64 where a repository uses SHA-256.
fn is_object_id(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_null_object_id(revision: &str) -> bool {
    revision.bytes().all(|byte| byte == b'0')
}

/// Returns whether git takes this as a ref name, as `git check-ref-format` defines it.
fn is_valid_ref_name(name: &str) -> bool {
    let forbidden = |byte: u8| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte);
    let segment = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.starts_with("refs/")
        && !matches!(name, "refs/heads" | "refs/tags")
        && name.split('/').all(segment)
        && !name.bytes().any(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
}

fn is_hex_branch_name(branch: &str) -> bool {
    branch.len() == 40 && branch.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_ref_updates;

    proptest! {
        #[test]
        fn any_text_gives_ref_updates_or_the_number_of_a_malformed_line(text: String) {
            for line in parse_ref_updates(&text) {
                if let Err(number) = line {
                    prop_assert!(number >= 1 && number <= text.split('\n').count());
                }
            }
        }
    }
}
