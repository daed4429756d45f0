//! Where the repositories of a record lie on their storage, and whether two records claim the same one.
//!
//! A project's wiki and designs lie beside its code: `p.git`, `p.wiki.git`, `p.design.git`. A snippet has one repository. Two records with
//! one repository would let the members of each into the other.

use crate::model::record::{Project, Record, Snippet};

/// What follows the stem of a project's code, before `.git`.
const SIDE_SUFFIXES: [&str; 2] = [".wiki", ".design"];

/// The repositories of one record: a storage and the path on it without `.git`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryPlace<'a> {
    /// The name of the storage.
    pub storage: &'a str,
    /// The path on it, without `.git`.
    pub stem: &'a str,
    /// Whether a wiki and designs lie beside it.
    pub has_sides: bool,
}

impl<'a> RepositoryPlace<'a> {
    /// Returns the place of a record's repositories, if it has any.
    #[must_use]
    pub fn of_record(record: &'a Record) -> Option<Self> {
        match record {
            Record::Project(project) => Some(Self::of_project(project)),
            Record::Snippet(snippet) => Some(Self::of_snippet(snippet)),
            _ => None,
        }
    }

    /// Returns the place of a project's repositories.
    #[must_use]
    pub fn of_project(project: &'a Project) -> Self {
        Self { storage: &project.storage, stem: stem(&project.relative_path), has_sides: true }
    }

    /// Returns the place of a snippet's repository.
    #[must_use]
    pub fn of_snippet(snippet: &'a Snippet) -> Self {
        Self { storage: &snippet.storage, stem: stem(&snippet.relative_path), has_sides: false }
    }

    /// Returns the stems on the same storage whose records claim a repository of this one: of any record, and of projects only.
    #[must_use]
    pub fn overlapping_stems(&self) -> OverlappingStems<'a> {
        let mut any = vec![self.stem.to_owned()];
        if self.has_sides {
            any.extend(SIDE_SUFFIXES.iter().map(|suffix| format!("{}{suffix}", self.stem)));
        }
        OverlappingStems { any, project: SIDE_SUFFIXES.iter().find_map(|suffix| self.stem.strip_suffix(suffix)) }
    }

    /// Returns what tells this place from others: storage, stem, and whether a wiki and designs lie beside it.
    #[must_use]
    pub fn to_key(&self) -> (String, String, bool) {
        (self.storage.to_owned(), self.stem.to_owned(), self.has_sides)
    }

    /// Returns the path on the storage of a wiki or of designs beside the code; `side` is `wiki` or `design`.
    #[must_use]
    pub fn side_path(&self, side: &str) -> String {
        format!("{}.{side}.git", self.stem)
    }
}

/// The stems that overlap with a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverlappingStems<'a> {
    /// Any record with one of these.
    pub any: Vec<String>,
    /// A project with this one: the place is its wiki's or its designs'.
    pub project: Option<&'a str>,
}

fn stem(relative_path: &str) -> &str {
    relative_path.strip_suffix(".git").unwrap_or(relative_path)
}

#[cfg(test)]
mod tests {
    use super::RepositoryPlace;

    fn overlap(one: (&str, bool), other: (&str, bool)) -> bool {
        let place = |(stem, has_sides)| RepositoryPlace { storage: "default", stem, has_sides };
        let stems = place(one).overlapping_stems();
        stems.any.iter().any(|stem| stem == other.0) || (other.1 && stems.project == Some(other.0))
    }

    #[test]
    fn two_records_overlap_if_they_have_a_repository_in_common_and_the_order_does_not_matter() {
        for (one, other, expected) in [
            (("p", true), ("p", true), true),
            (("p", true), ("p", false), true),
            (("p", true), ("p.wiki", true), true),
            (("p", true), ("p.design", false), true),
            (("p", false), ("p.wiki", false), false),
            (("p", false), ("p.wiki", true), false),
            (("p.wiki", true), ("p.design", true), false),
            (("p", true), ("q", true), false),
            (("p", true), ("P", true), false),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one:?} {other:?}");
        }
    }
}
