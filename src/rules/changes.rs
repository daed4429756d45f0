//! The second question of a push: the lines that Gitaly's hook is about to write. (server.md 3.8)
//!
//! What needs the repository cannot be decided here: whether an update throws history away, whether a merge commit is that of a merge
//! request, whether a repository is still empty, how large a file is. `docs/decisions.md` says what follows from that. A tag or branch
//! exists if its old revision is not all zeros, since Gitaly says so.

use crate::model::level::{AccessLevel, Protection};
use crate::model::question::{Changes, Protocol};
use crate::model::record::ProtectedBranch;
use crate::rules::case::Case;
use crate::rules::ground::{Ground, Standing};
use crate::rules::refusal::{Check, Reason};

/// Looks at every line; the first that may not be is what is said. Changes that are not known yet pass.
pub fn check(case: &Case, ground: &Ground) -> Check {
    let Changes::Real(text) = &case.question.changes else { return Ok(()) };
    let by_web = case.question.protocol == Protocol::Web;
    let judge = Judge { standing: ground.standing, by_web, default_branch: &ground.project.default_branch };
    let (mut branches, mut tags) = (None, None);
    for line in lines(text) {
        let change = line.map_err(|line| Reason::ChangeLine { line })?;
        match change.target {
            Target::Branch(name) => {
                if branches.is_none() {
                    branches = Some(case.directory.protected_branches(ground.project.id)?);
                }
                let matching = branches.iter().flatten().filter(|rule| matches(&rule.pattern, name));
                judge.branch(&change, name, &matching.map(AsRef::as_ref).collect::<Vec<_>>())?;
            }
            Target::Tag(name) => {
                if tags.is_none() {
                    tags = Some(case.directory.protected_tags(ground.project.id)?);
                }
                let matching = tags.iter().flatten().filter(|rule| matches(&rule.pattern, name));
                judge.tag(&change, &matching.map(|rule| rule.create).collect::<Vec<_>>())?;
            }
            Target::Other => {}
        }
    }
    Ok(())
}

/// What one line does to its ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Create,
    Update,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Branch(&'a str),
    Tag(&'a str),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change<'a> {
    act: Act,
    target: Target<'a>,
}

struct Judge<'a> {
    standing: Standing,
    by_web: bool,
    default_branch: &'a str,
}

impl Judge<'_> {
    /// A branch, and the patterns that name it; none: it is not protected.
    fn branch(&self, change: &Change, name: &str, protected: &[&ProtectedBranch]) -> Check {
        if change.act == Act::Delete && name == self.default_branch {
            return Err(Reason::DefaultBranchDeleted.into());
        }
        if change.act != Act::Delete && is_hexadecimal(name) {
            return Err(Reason::HexadecimalBranch.into());
        }
        if protected.is_empty() {
            return Ok(());
        }
        let pushes = self.passes(protected.iter().map(|rule| rule.push));
        match change.act {
            Act::Create | Act::Update if pushes => Ok(()),
            Act::Create if !self.passes(protected.iter().map(|rule| rule.merge)) => Err(Reason::ProtectedBranchCreate.into()),
            Act::Create if !self.by_web => Err(Reason::ProtectedBranchCreateOutsideWeb.into()),
            Act::Create => Err(Reason::ProtectedBranchBasis.into()),
            Act::Update => Err(Reason::ProtectedBranchPush.into()),
            Act::Delete if !self.standing.reaches(AccessLevel::Maintainer) => Err(Reason::ProtectedBranchDelete.into()),
            Act::Delete if !self.by_web => Err(Reason::ProtectedBranchDeleteOutsideWeb.into()),
            Act::Delete => Ok(()),
        }
    }

    /// A tag, and what each pattern that names it asks of who makes it.
    fn tag(&self, change: &Change, protected: &[Protection]) -> Check {
        if change.act != Act::Create && !self.standing.reaches(AccessLevel::Developer) {
            return Err(Reason::ExistingTag.into());
        }
        if protected.is_empty() {
            return Ok(());
        }
        match change.act {
            Act::Update => Err(Reason::ProtectedTagUpdate.into()),
            Act::Delete if !self.standing.reaches(AccessLevel::Maintainer) => Err(Reason::ProtectedTagDelete.into()),
            Act::Delete if !self.by_web => Err(Reason::ProtectedTagDeleteOutsideWeb.into()),
            Act::Create if !self.passes(protected.iter().copied()) => Err(Reason::ProtectedTagCreate.into()),
            Act::Delete | Act::Create => Ok(()),
        }
    }

    /// Of several patterns that name one ref the most open one counts. A deploy key has no role, so it passes none.
    fn passes(&self, mut protected: impl Iterator<Item = Protection>) -> bool {
        protected.any(|protection| match protection {
            Protection::Noone => false,
            Protection::Maintainer => self.standing.reaches(AccessLevel::Maintainer),
            Protection::Developer => self.standing.reaches(AccessLevel::Developer),
        })
    }
}

/// Reads `old new ref` lines; an empty line is passed over, one that is not of that form is an error with its number, from 1.
fn lines(text: &str) -> impl Iterator<Item = Result<Change<'_>, usize>> {
    let numbered = text.split('\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    numbered.map(|(index, line)| change(line.strip_suffix('\r').unwrap_or(line)).ok_or(index + 1))
}

fn change(line: &str) -> Option<Change<'_>> {
    let mut words = line.splitn(3, ' ');
    let (old, new, name) = (words.next()?, words.next()?, words.next()?);
    if !is_revision(old) || !is_revision(new) || old.len() != new.len() || !is_ref(name) {
        return None;
    }
    let act = match (is_nothing(old), is_nothing(new)) {
        (true, false) => Act::Create,
        (false, true) => Act::Delete,
        (false, false) => Act::Update,
        (true, true) => return None,
    };
    let target = match (name.strip_prefix("refs/heads/"), name.strip_prefix("refs/tags/")) {
        (Some(branch), _) => Target::Branch(branch),
        (_, Some(tag)) => Target::Tag(tag),
        _ => Target::Other,
    };
    Some(Change { act, target })
}

/// 40 hex digits, or 64 where a repository uses SHA-256.
fn is_revision(word: &str) -> bool {
    matches!(word.len(), 40 | 64) && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_nothing(revision: &str) -> bool {
    revision.bytes().all(|byte| byte == b'0')
}

/// As `git check-ref-format` has it: below `refs/`, no empty segment, nothing that git itself refuses.
fn is_ref(name: &str) -> bool {
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

fn is_hexadecimal(branch: &str) -> bool {
    branch.len() == 40 && branch.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a pattern names a ref; `*` stands for any letters, `/` among them.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let Some(at) = rest.find(middle) else { return false };
            rest = &rest[at + middle.len()..];
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{lines, matches};

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, expected) in [
            ("main", "main", true),
            ("main", "mainly", false),
            ("Main", "main", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("release/*", "release/1/2", true),
            ("release/*", "release", false),
            ("*-stable", "1-stable", true),
            ("*-stable", "1-stable-2", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("*ab*ab", "ab", false),
            ("*ab*ab", "abab", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_that_is_filled_in_names_what_it_was_filled_with(parts in prop::collection::vec("[ab/]{0,3}", 1..5), fill in "[ab/]{0,4}") {
            prop_assert!(matches(&parts.join("*"), &parts.join(&fill)));
        }

        #[test]
        fn any_text_is_lines_or_the_number_of_one_that_is_none(text: String) {
            for line in lines(&text) {
                if let Err(number) = line {
                    prop_assert!(number >= 1 && number <= text.split('\n').count());
                }
            }
        }
    }
}
