//! Group N: snippets. All rows are made.

use crate::support::contract_case::{PROJECT_NOT_FOUND, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, PUSH_DEPLOY_KEY, key_actor, pull, push};

const SNIPPET_NOT_FOUND: &str = "The snippet you were looking for could not be found.";
const WRITE: &str = "You are not allowed to update this snippet.";
const READ: &str = "You are not allowed to read this snippet.";
const READ_ONLY: &str = "The repository is temporarily read-only. Please try again later.";

#[test]
fn a_snippet_is_its_authors_and_its_projects() {
    let by_number =
        |call: crate::support::contract_case::ApiCall, id: u64| call.without("project").with("gl_repository", format!("snippet-{id}"));
    let (other, deploy) = ("The authentication mechanism is not supported.", key_actor(PUSH_DEPLOY_KEY));
    assert_cases(
        &contract_directory::shared_env(),
        vec![
            case("N01", "a deploy key pulls", pull(&deploy, "snippets/2"), 401).body_equals(denied_body(other)),
            case("N01", "a deploy key pushes", push(&deploy, "snippets/2"), 401).body_equals(denied_body(other)),
            case("N02", "none of that number", by_number(pull("developer", ""), 99), 404).body_equals(denied_body(SNIPPET_NOT_FOUND)),
            case("N02", "of a project that is not seen", pull("outsider", "team/private/snippets/3"), 404)
                .body_equals(denied_body(PROJECT_NOT_FOUND)),
            case("N02", "of a project that is not seen, by number", by_number(pull("outsider", ""), 3), 404)
                .body_equals(denied_body(PROJECT_NOT_FOUND)),
            case("N02", "without a repository", pull("developer", "snippets/6"), 404)
                .body_equals(denied_body("The snippet repository you were looking for could not be found.")),
            case("N03", "another's private one", pull("outsider", "snippets/1"), 401).body_equals(denied_body(READ)),
            case("N03", "another's private one, a push", push("outsider", "snippets/1"), 401).body_equals(denied_body(WRITE)),
            case("N03", "another's public one", pull("outsider", "snippets/2"), 200),
            case("N03", "another's public one, nobody", pull("nobody", "snippets/2"), 200),
            case("N04", "read-only, its author pushes", push("developer", "snippets/5"), 401).body_equals(denied_body(READ_ONLY)),
            case("N04", "read-only, its author pulls", pull("developer", "snippets/5"), 200),
            case("N05", "of a project, a maintainer pushes", push("maintainer", "team/private/snippets/3"), 200),
            case("N05", "of a project, a developer pushes", push("developer", "team/private/snippets/3"), 401)
                .body_equals(denied_body(WRITE)),
            case("N06", "archived, its author pushes", push("developer", "team/archived/snippets/4"), 401).body_equals(denied_body(WRITE)),
            case("N06", "archived, a reporter pushes", push("reporter", "team/archived/snippets/4"), 401).body_equals(denied_body(WRITE)),
            case("N06", "archived, its author pulls", pull("developer", "team/archived/snippets/4"), 200),
            case("N06", "archived, a reporter pulls", pull("reporter", "team/archived/snippets/4"), 200),
        ],
    );
}
