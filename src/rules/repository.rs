//! Which repository is asked for: `gl_repository` before `project`; a path as people type it. (server.md 1.4)

use std::sync::Arc;

use crate::model::directory::{Directory, Fault};
use crate::model::id::Id;
use crate::model::record::Project;
use crate::model::verdict::{FoundBy, Repository};

/// What kind of repository was asked for. A path at which nothing is found asks for a project: a push might make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A project's code.
    Project,
    /// A project's wiki.
    Wiki,
    /// A project's designs.
    Design,
    /// A snippet.
    Snippet,
}

/// How it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// By a `gl_repository` of a known form.
    Id,
    /// By a path, now without its leading slash and its `.git`.
    Path(String),
    /// By a `gl_repository` of no known form: neither found nor missing.
    Unknown,
}

/// What was asked for, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is described at its type")]
pub struct Sought {
    pub kind: Kind,
    pub asked: Asked,
    pub repository: Option<Repository>,
    pub found: FoundBy,
}

/// Looks for a repository. Paths are found whatever their ASCII case, and by those that a project had before.
pub fn find(directory: &dyn Directory, gl_repository: Option<&str>, project: Option<&str>) -> Result<Sought, Fault> {
    match gl_repository {
        Some(word) => by_id(directory, word),
        None => by_path(directory, project.unwrap_or_default()),
    }
}

/// A path as it was typed, without one leading `/` and one trailing `.git`.
#[must_use]
pub fn plain(path: &str) -> &str {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix(".git").unwrap_or(path)
}

fn by_id(directory: &dyn Directory, word: &str) -> Result<Sought, Fault> {
    let (kind, id) = match word.split_once('-') {
        Some(("project", id)) => (Kind::Project, id),
        Some(("wiki", id)) => (Kind::Wiki, id),
        Some(("design", id)) => (Kind::Design, id),
        Some(("snippet", id)) => (Kind::Snippet, id),
        Some(("group", rest)) if rest.ends_with("-wiki") => (Kind::Wiki, ""),
        _ => return Ok(Sought { kind: Kind::Project, asked: Asked::Unknown, repository: None, found: FoundBy::Nothing }),
    };
    let repository = match id.parse::<Id>() {
        Err(_) => None,
        Ok(id) if kind == Kind::Snippet => snippet(directory, id)?,
        Ok(id) => directory.project(id)?.map(|project| of(kind, project)),
    };
    Ok(sought(kind, Asked::Id, repository, FoundBy::Itself))
}

fn by_path(directory: &dyn Directory, typed: &str) -> Result<Sought, Fault> {
    let path = plain(typed);
    let asked = Asked::Path(path.to_owned());
    if let Some((project, found)) = at(directory, path)? {
        return Ok(sought(Kind::Project, asked, Some(Repository::Project(project)), found));
    }
    for (suffix, kind) in [(".wiki", Kind::Wiki), (".design", Kind::Design)] {
        if let Some(above) = path.strip_suffix(suffix)
            && let Some((project, found)) = at(directory, above)?
        {
            return Ok(sought(kind, asked, Some(of(kind, project)), found));
        }
    }
    if let Some((above, id)) = snippet_path(path)
        && let Some((repository, found)) = snippet_at(directory, above, id)?
    {
        return Ok(sought(Kind::Snippet, asked, Some(repository), found));
    }
    Ok(sought(Kind::Project, asked, None, FoundBy::Nothing))
}

fn sought(kind: Kind, asked: Asked, repository: Option<Repository>, found: FoundBy) -> Sought {
    let found = if repository.is_some() { found } else { FoundBy::Nothing };
    Sought { kind, asked, repository, found }
}

const fn of(kind: Kind, project: Arc<Project>) -> Repository {
    match kind {
        Kind::Wiki => Repository::Wiki(project),
        Kind::Design => Repository::Design(project),
        Kind::Project | Kind::Snippet => Repository::Project(project),
    }
}

fn at(directory: &dyn Directory, path: &str) -> Result<Option<(Arc<Project>, FoundBy)>, Fault> {
    if let Some(project) = directory.project_at(path)? {
        return Ok(Some((project, FoundBy::Itself)));
    }
    Ok(directory.project_formerly_at(path)?.map(|project| (project, FoundBy::Redirect)))
}

/// Splits `snippets/<id>` and `<project>/snippets/<id>`.
fn snippet_path(path: &str) -> Option<(Option<&str>, Id)> {
    let (above, id) = path.rsplit_once('/')?;
    let id = id.parse().ok()?;
    match above.strip_suffix("snippets")? {
        "" => Some((None, id)),
        project => Some((Some(project.strip_suffix('/')?), id)),
    }
}

fn snippet_at(directory: &dyn Directory, above: Option<&str>, id: Id) -> Result<Option<(Repository, FoundBy)>, Fault> {
    let Some(snippet) = directory.snippet(id)? else { return Ok(None) };
    let home = match above {
        Some(path) => at(directory, path)?,
        None => None,
    };
    Ok(match home {
        Some((project, found)) if snippet.project_id == Some(project.id) => Some((Repository::Snippet(snippet, Some(project)), found)),
        None if above.is_none() && snippet.project_id.is_none() => Some((Repository::Snippet(snippet, None), FoundBy::Itself)),
        _ => None,
    })
}

fn snippet(directory: &dyn Directory, id: Id) -> Result<Option<Repository>, Fault> {
    let Some(snippet) = directory.snippet(id)? else { return Ok(None) };
    let Some(home) = snippet.project_id else { return Ok(Some(Repository::Snippet(snippet, None))) };
    Ok(directory.project(home)?.map(|project| Repository::Snippet(snippet, Some(project))))
}

#[cfg(test)]
mod tests {
    use super::{Asked, Kind, find, plain};
    use crate::model::table::Table;
    use crate::model::verdict::FoundBy;

    fn house() -> Table {
        Table::of([
            r#"{"kind":"namespace","id":1,"type":"group","path":"a","name":"a"}"#,
            r#"{"kind":"project","id":2,"namespace_id":1,"path":"a/Code","name":"p","relative_path":"p.git"}"#,
            r#"{"kind":"project","id":3,"namespace_id":1,"path":"a/odd.wiki","name":"p","relative_path":"q.git"}"#,
            r#"{"kind":"redirect","from":"old/code","project_id":2}"#,
            r#"{"kind":"snippet","id":4,"author_id":1,"storage":"default","relative_path":"s.git"}"#,
            r#"{"kind":"snippet","id":5,"project_id":2,"author_id":1,"storage":"default","relative_path":"t.git"}"#,
        ])
    }

    #[test]
    fn one_slash_and_one_suffix_come_off() {
        for (typed, path) in [("/a/b.git", "a/b"), ("a/b", "a/b"), ("//a/b", "/a/b"), ("a/b.git.git", "a/b.git"), ("", ""), (".git", "")] {
            assert_eq!(plain(typed), path, "{typed}");
        }
    }

    #[test]
    fn a_path_finds_what_it_names() {
        for (path, kind, found) in [
            ("/a/code.git", Kind::Project, FoundBy::Itself),
            ("OLD/code", Kind::Project, FoundBy::Redirect),
            ("a/code.wiki.git", Kind::Wiki, FoundBy::Itself),
            ("old/code.wiki", Kind::Wiki, FoundBy::Redirect),
            ("a/odd.wiki", Kind::Project, FoundBy::Itself),
            ("a/code.design", Kind::Design, FoundBy::Itself),
            ("snippets/4", Kind::Snippet, FoundBy::Itself),
            ("a/code/snippets/5.git", Kind::Snippet, FoundBy::Itself),
            ("a/odd.wiki/snippets/5", Kind::Project, FoundBy::Nothing),
            ("snippets/5", Kind::Project, FoundBy::Nothing),
            ("a/code/snippets/4", Kind::Project, FoundBy::Nothing),
            ("a/codesnippets/5", Kind::Project, FoundBy::Nothing),
            ("a/none.wiki", Kind::Project, FoundBy::Nothing),
            ("", Kind::Project, FoundBy::Nothing),
        ] {
            let sought = find(&house(), None, Some(path)).unwrap();
            assert_eq!((sought.kind, sought.found), (kind, found), "{path}");
        }
    }

    #[test]
    fn an_id_goes_before_a_path_and_an_unknown_word_is_neither_found_nor_missing() {
        for (word, kind, found) in [
            ("project-2", Kind::Project, FoundBy::Itself),
            ("project-9", Kind::Project, FoundBy::Nothing),
            ("project-foo", Kind::Project, FoundBy::Nothing),
            ("wiki-2", Kind::Wiki, FoundBy::Itself),
            ("snippet-4", Kind::Snippet, FoundBy::Itself),
            ("snippet-9", Kind::Snippet, FoundBy::Nothing),
            ("design-2", Kind::Design, FoundBy::Itself),
            ("group-1-wiki", Kind::Wiki, FoundBy::Nothing),
        ] {
            let sought = find(&house(), Some(word), Some("a/odd.wiki")).unwrap();
            assert_eq!((sought.kind, sought.found, sought.asked), (kind, found, Asked::Id), "{word}");
        }
        for word in ["", "project", "house-2", "project2", "-2", "group-1"] {
            assert_eq!(find(&house(), Some(word), Some("a/code")).unwrap().asked, Asked::Unknown, "{word}");
        }
    }
}
