//! Finding the requested repository: by `gl_repository`, else by the path in `project`, as people type it. (server.md 1.4)

use std::sync::Arc;

use crate::model::access_decision::{FoundBy, Repository};
use crate::model::directory::{Directory, DirectoryError};
use crate::model::id::Id;
use crate::model::record::Project;

/// The kind of the requested repository. A path at which nothing is found counts as a project: a push might create it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryKind {
    /// A project's code.
    Project,
    /// A project's wiki.
    Wiki,
    /// A project's designs.
    Design,
    /// A snippet.
    Snippet,
}

/// How the repository was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositorySelector {
    /// By a `gl_repository` of a known form.
    Id,
    /// By a path, now without its leading slash and its `.git`.
    Path(String),
    /// By a `gl_repository` of no known form: neither found nor missing.
    Unknown,
}

/// What was requested, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct RepositoryLookup {
    pub kind: RepositoryKind,
    pub selector: RepositorySelector,
    pub repository: Option<Repository>,
    pub found_by: FoundBy,
    /// Whether a record was found and another leads to the same repository: then neither is found, and nothing is created in its place.
    pub is_shared: bool,
}

/// Finds a repository. Paths match in any ASCII case, and also by the former paths of a project.
pub fn find_repository(
    directory: &dyn Directory,
    gl_repository: Option<&str>,
    project: Option<&str>,
) -> Result<RepositoryLookup, DirectoryError> {
    let lookup = match gl_repository {
        Some(word) => find_by_id(directory, word)?,
        None => find_by_path(directory, project.unwrap_or_default())?,
    };
    match &lookup.repository {
        Some(repository) if directory.is_shared_repository(&repository.place())? => {
            Ok(RepositoryLookup { repository: None, found_by: FoundBy::NotFound, is_shared: true, ..lookup })
        }
        _ => Ok(lookup),
    }
}

/// Returns the path without one leading `/` and one trailing `.git`.
#[must_use]
pub fn normalize_path(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path)
}

fn find_by_id(directory: &dyn Directory, word: &str) -> Result<RepositoryLookup, DirectoryError> {
    let (kind, id) = match word.split_once('-') {
        Some(("project", id)) => (RepositoryKind::Project, id),
        Some(("wiki", id)) => (RepositoryKind::Wiki, id),
        Some(("design", id)) => (RepositoryKind::Design, id),
        Some(("snippet", id)) => (RepositoryKind::Snippet, id),
        Some(("group", rest)) if rest.ends_with("-wiki") => (RepositoryKind::Wiki, ""),
        _ => {
            return Ok(RepositoryLookup {
                kind: RepositoryKind::Project,
                selector: RepositorySelector::Unknown,
                repository: None,
                found_by: FoundBy::NotFound,
                is_shared: false,
            });
        }
    };
    let repository = match id.parse::<Id>() {
        Err(_) => None,
        Ok(id) if kind == RepositoryKind::Snippet => find_snippet(directory, id)?,
        Ok(id) => directory.project(id)?.map(|project| repository_of_kind(kind, project)),
    };
    Ok(lookup_result(kind, RepositorySelector::Id, repository, FoundBy::CurrentPath))
}

fn find_by_path(directory: &dyn Directory, typed: &str) -> Result<RepositoryLookup, DirectoryError> {
    let path = normalize_path(typed);
    let asked = RepositorySelector::Path(path.to_owned());
    // The wiki of a project goes before the old path of another, which may end in `.wiki` too.
    for find in [find_project_by_current_path, find_project_by_former_path] {
        for (suffix, kind) in [("", RepositoryKind::Project), (".wiki", RepositoryKind::Wiki), (".design", RepositoryKind::Design)] {
            if let Some(above) = path.strip_suffix(suffix)
                && let Some((project, found)) = find(directory, above)?
            {
                return Ok(lookup_result(kind, asked, Some(repository_of_kind(kind, project)), found));
            }
        }
    }
    if let Some((above, id)) = parse_snippet_path(path)
        && let Some((repository, found)) = find_snippet_at(directory, above, id)?
    {
        return Ok(lookup_result(RepositoryKind::Snippet, asked, Some(repository), found));
    }
    Ok(lookup_result(RepositoryKind::Project, asked, None, FoundBy::NotFound))
}

fn lookup_result(kind: RepositoryKind, asked: RepositorySelector, repository: Option<Repository>, found: FoundBy) -> RepositoryLookup {
    let found = if repository.is_some() { found } else { FoundBy::NotFound };
    RepositoryLookup { kind, selector: asked, repository, found_by: found, is_shared: false }
}

const fn repository_of_kind(kind: RepositoryKind, project: Arc<Project>) -> Repository {
    match kind {
        RepositoryKind::Wiki => Repository::Wiki(project),
        RepositoryKind::Design => Repository::Design(project),
        RepositoryKind::Project | RepositoryKind::Snippet => Repository::Project(project),
    }
}

type FoundProject = Result<Option<(Arc<Project>, FoundBy)>, DirectoryError>;

fn find_project_by_current_path(directory: &dyn Directory, path: &str) -> FoundProject {
    Ok(directory.project_by_path(path)?.map(|project| (project, FoundBy::CurrentPath)))
}

fn find_project_by_former_path(directory: &dyn Directory, path: &str) -> FoundProject {
    Ok(directory.project_by_former_path(path)?.map(|project| (project, FoundBy::Redirect)))
}

fn find_project_at(directory: &dyn Directory, path: &str) -> FoundProject {
    match find_project_by_current_path(directory, path)? {
        Some(found) => Ok(Some(found)),
        None => find_project_by_former_path(directory, path),
    }
}

/// Splits `snippets/<id>` and `<project>/snippets/<id>`.
fn parse_snippet_path(path: &str) -> Option<(Option<&str>, Id)> {
    let (above, id) = path.rsplit_once('/')?;
    let id = id.parse().ok()?;
    match above.strip_suffix("snippets")? {
        "" => Some((None, id)),
        project => Some((Some(project.strip_suffix('/')?), id)),
    }
}

fn find_snippet_at(directory: &dyn Directory, above: Option<&str>, id: Id) -> Result<Option<(Repository, FoundBy)>, DirectoryError> {
    let Some(snippet) = directory.snippet(id)? else { return Ok(None) };
    let home = match above {
        Some(path) => find_project_at(directory, path)?,
        None => None,
    };
    Ok(match home {
        Some((project, found)) if snippet.project_id == Some(project.id) => Some((Repository::Snippet(snippet, Some(project)), found)),
        None if above.is_none() && snippet.project_id.is_none() => Some((Repository::Snippet(snippet, None), FoundBy::CurrentPath)),
        _ => None,
    })
}

fn find_snippet(directory: &dyn Directory, id: Id) -> Result<Option<Repository>, DirectoryError> {
    let Some(snippet) = directory.snippet(id)? else { return Ok(None) };
    let Some(home) = snippet.project_id else { return Ok(Some(Repository::Snippet(snippet, None))) };
    Ok(directory.project(home)?.map(|project| Repository::Snippet(snippet, Some(project))))
}

#[cfg(test)]
mod tests {
    use super::{RepositoryKind, RepositorySelector, find_repository, normalize_path};
    use crate::model::access_decision::FoundBy;
    use crate::model::memory_directory::MemoryDirectory;

    fn sample_directory() -> MemoryDirectory {
        MemoryDirectory::from_lines([
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"project","id":2,"namespace_id":1,"path":"a/Code","name":"p","relative_path":"p.git"}"#,
            r#"{"kind":"project","id":3,"namespace_id":1,"path":"a/odd.wiki","name":"p","relative_path":"q.git"}"#,
            r#"{"kind":"redirect","from":"old/code","project_id":2}"#,
            r#"{"kind":"redirect","from":"a/code.wiki","project_id":3}"#,
            r#"{"kind":"snippet","id":4,"author_id":1,"storage":"default","relative_path":"s.git"}"#,
            r#"{"kind":"snippet","id":5,"project_id":2,"author_id":1,"storage":"default","relative_path":"t.git"}"#,
        ])
    }

    #[test]
    fn one_slash_and_one_suffix_come_off() {
        for (typed, path) in [("/a/b.git", "a/b"), ("a/b", "a/b"), ("//a/b", "/a/b"), ("a/b.git.git", "a/b.git"), ("", ""), (".git", "")] {
            assert_eq!(normalize_path(typed), path, "{typed}");
        }
    }

    #[test]
    fn a_path_finds_what_it_names() {
        for (path, kind, found) in [
            ("/a/code.git", RepositoryKind::Project, FoundBy::CurrentPath),
            ("OLD/code", RepositoryKind::Project, FoundBy::Redirect),
            ("a/code.wiki.git", RepositoryKind::Wiki, FoundBy::CurrentPath),
            ("old/code.wiki", RepositoryKind::Wiki, FoundBy::Redirect),
            ("a/odd.wiki", RepositoryKind::Project, FoundBy::CurrentPath),
            ("a/code.design", RepositoryKind::Design, FoundBy::CurrentPath),
            ("snippets/4", RepositoryKind::Snippet, FoundBy::CurrentPath),
            ("a/code/snippets/5.git", RepositoryKind::Snippet, FoundBy::CurrentPath),
            ("a/odd.wiki/snippets/5", RepositoryKind::Project, FoundBy::NotFound),
            ("snippets/5", RepositoryKind::Project, FoundBy::NotFound),
            ("a/code/snippets/4", RepositoryKind::Project, FoundBy::NotFound),
            ("a/codesnippets/5", RepositoryKind::Project, FoundBy::NotFound),
            ("a/none.wiki", RepositoryKind::Project, FoundBy::NotFound),
            ("", RepositoryKind::Project, FoundBy::NotFound),
        ] {
            let lookup = find_repository(&sample_directory(), None, Some(path)).unwrap();
            assert_eq!((lookup.kind, lookup.found_by), (kind, found), "{path}");
        }
    }

    #[test]
    fn of_two_records_on_one_repository_neither_is_found() {
        let directory = MemoryDirectory::from_lines([
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"project","id":2,"namespace_id":1,"path":"a/one","name":"p","relative_path":"p.git"}"#,
            r#"{"kind":"project","id":3,"namespace_id":1,"path":"a/two","name":"p","relative_path":"p.wiki.git"}"#,
            r#"{"kind":"project","id":4,"namespace_id":1,"path":"a/three","name":"p","relative_path":"q.git"}"#,
            r#"{"kind":"snippet","id":5,"author_id":1,"storage":"default","relative_path":"s.git"}"#,
            r#"{"kind":"snippet","id":6,"author_id":1,"storage":"default","relative_path":"s.git"}"#,
        ]);
        for (word, path, is_shared) in [
            (Some("project-2"), None, true),
            (Some("project-3"), None, true),
            (Some("wiki-2"), None, true),
            (Some("snippet-5"), None, true),
            (None, Some("a/one"), true),
            (None, Some("a/one.wiki"), true),
            (None, Some("snippets/6"), true),
            (None, Some("a/three"), false),
            (Some("wiki-4"), None, false),
        ] {
            let lookup = find_repository(&directory, word, path).unwrap();
            assert_eq!((lookup.is_shared, lookup.repository.is_none()), (is_shared, is_shared), "{word:?} {path:?}");
        }
    }

    #[test]
    fn an_id_counts_before_a_path_and_an_unknown_form_is_neither_found_nor_missing() {
        for (word, kind, found) in [
            ("project-2", RepositoryKind::Project, FoundBy::CurrentPath),
            ("project-9", RepositoryKind::Project, FoundBy::NotFound),
            ("project-foo", RepositoryKind::Project, FoundBy::NotFound),
            ("wiki-2", RepositoryKind::Wiki, FoundBy::CurrentPath),
            ("snippet-4", RepositoryKind::Snippet, FoundBy::CurrentPath),
            ("snippet-9", RepositoryKind::Snippet, FoundBy::NotFound),
            ("design-2", RepositoryKind::Design, FoundBy::CurrentPath),
            ("group-1-wiki", RepositoryKind::Wiki, FoundBy::NotFound),
        ] {
            let lookup = find_repository(&sample_directory(), Some(word), Some("a/odd.wiki")).unwrap();
            assert_eq!((lookup.kind, lookup.found_by, lookup.selector), (kind, found, RepositorySelector::Id), "{word}");
        }
        for word in ["", "project", "place-2", "project2", "-2", "group-1"] {
            assert_eq!(
                find_repository(&sample_directory(), Some(word), Some("a/code")).unwrap().selector,
                RepositorySelector::Unknown,
                "{word}"
            );
        }
    }
}
