//! Group N: snippets. All rows are made.

use super::table::{check, no, row};
use super::world::{self, PUSHING, key, pull, push};

const SNIPPET_UNKNOWN: &str = "The snippet you were looking for could not be found.";
const UNKNOWN: &str = "The project you were looking for could not be found or you don't have permission to view it.";
const WRITE: &str = "You are not allowed to update this snippet.";
const READ: &str = "You are not allowed to read this snippet.";
const READ_ONLY: &str = "The repository is temporarily read-only. Please try again later.";

#[test]
fn a_snippet_is_its_authors_and_its_projects() {
    let by_number = |ask: super::table::Ask, id: u64| ask.without("project").with("gl_repository", format!("snippet-{id}"));
    let (other, deploy) = ("The authentication mechanism is not supported.", key(PUSHING));
    check(
        &world::plain(),
        vec![
            row("N01", "a deploy key pulls", pull(&deploy, "snippets/2"), 401).is(no(other)),
            row("N01", "a deploy key pushes", push(&deploy, "snippets/2"), 401).is(no(other)),
            row("N02", "none of that number", by_number(pull("developer", ""), 99), 404).is(no(SNIPPET_UNKNOWN)),
            row("N02", "of a project that is not seen", pull("outsider", "team/private/snippets/3"), 404).is(no(UNKNOWN)),
            row("N02", "of a project that is not seen, by number", by_number(pull("outsider", ""), 3), 404).is(no(UNKNOWN)),
            row("N02", "without a repository", pull("developer", "snippets/6"), 404)
                .is(no("The snippet repository you were looking for could not be found.")),
            row("N03", "another's private one", pull("outsider", "snippets/1"), 401).is(no(READ)),
            row("N03", "another's private one, a push", push("outsider", "snippets/1"), 401).is(no(WRITE)),
            row("N03", "another's public one", pull("outsider", "snippets/2"), 200),
            row("N03", "another's public one, nobody", pull("nobody", "snippets/2"), 200),
            row("N04", "read-only, its author pushes", push("developer", "snippets/5"), 401).is(no(READ_ONLY)),
            row("N04", "read-only, its author pulls", pull("developer", "snippets/5"), 200),
            row("N05", "of a project, a maintainer pushes", push("maintainer", "team/private/snippets/3"), 200),
            row("N05", "of a project, a developer pushes", push("developer", "team/private/snippets/3"), 401).is(no(WRITE)),
            row("N06", "archived, its author pushes", push("developer", "team/archived/snippets/4"), 401).is(no(WRITE)),
            row("N06", "archived, a reporter pushes", push("reporter", "team/archived/snippets/4"), 401).is(no(WRITE)),
            row("N06", "archived, its author pulls", pull("developer", "team/archived/snippets/4"), 200),
            row("N06", "archived, a reporter pulls", pull("reporter", "team/archived/snippets/4"), 200),
        ],
    );
}
