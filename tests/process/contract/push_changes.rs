//! Group M: a push whose changes are known. The primary decides on them, whoever is asked.
//!
//! Not made: M05 (merge requests under way), M07 (a check of the repository that takes too long: the repository is not looked at).

use crate::support::contract_case::{ApiCall, assert_cases, case, denied_body};
use crate::support::contract_directory::{self, push};

const PROTECTED: &str = "You are not allowed to push code to protected branches on this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const COMMIT_A: &str = "1111111111111111111111111111111111111111";
const COMMIT_B: &str = "2222222222222222222222222222222222222222";
const ZERO_COMMIT: &str = "0000000000000000000000000000000000000000";

fn push_change(who: &str, old: &str, new: &str, name: &str) -> ApiCall {
    push(who, "team/guarded").with("changes", format!("{old} {new} {name}\n"))
}

fn push_update(who: &str, name: &str) -> ApiCall {
    push_change(who, COMMIT_A, COMMIT_B, name)
}

fn push_create(who: &str, name: &str) -> ApiCall {
    push_change(who, ZERO_COMMIT, COMMIT_B, name)
}

fn push_delete(who: &str, name: &str) -> ApiCall {
    push_change(who, COMMIT_A, ZERO_COMMIT, name)
}

#[test]
fn each_line_of_a_push_is_judged() {
    let yes = |id, given: &str, call| case(id, given, call, 200).answered_from("forwarded");
    let refused = |id, given: &str, call, text: &str| case(id, given, call, 401).body_equals(denied_body(text)).answered_from("forwarded");
    let web = |call: ApiCall| call.with("protocol", "web");
    let mut rows = vec![
        refused("M01", "a developer, the protected branch", push_update("developer", "refs/heads/feature"), PROTECTED),
        yes("M01", "a developer, another branch", push_update("developer", "refs/heads/other")),
        yes("M01", "a developer, a new branch", push_create("developer", "refs/heads/new")),
        yes("M01", "a developer, a tag", push_create("developer", "refs/tags/one")),
        refused(
            "M01",
            "a developer, the protected one among others",
            {
                let lines = format!("{COMMIT_A} {COMMIT_B} refs/heads/other\n{COMMIT_A} {COMMIT_B} refs/heads/feature\n");
                push("developer", "team/guarded").with("changes", lines)
            },
            PROTECTED,
        ),
        yes("M02", "a maintainer, the protected branch", push_update("maintainer", "refs/heads/feature")),
        refused(
            "M02",
            "a maintainer deletes it over SSH",
            push_delete("maintainer", "refs/heads/feature"),
            "You can only delete protected branches using the web interface.",
        ),
        yes("M02", "a maintainer deletes it in the browser", web(push_delete("maintainer", "refs/heads/feature"))),
        refused(
            "M02",
            "a developer deletes it",
            push_delete("developer", "refs/heads/feature"),
            "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.",
        ),
        yes("M03", "a developer, where developers may", push_update("developer", "refs/heads/shared")),
        refused("M04", "a maintainer, where nobody may", push_update("maintainer", "refs/heads/frozen/1"), PROTECTED),
        refused(
            "M08",
            "the default branch is deleted",
            push_delete("maintainer", "refs/heads/main"),
            "The default branch of a project cannot be deleted.",
        ),
        refused(
            "M08",
            "a branch of 40 hexadecimal digits",
            push_create("maintainer", &format!("refs/heads/{COMMIT_A}")),
            "You cannot create a branch with a 40-character hexadecimal branch name.",
        ),
        refused(
            "M08",
            "a protected tag",
            push_create("developer", "refs/tags/v1"),
            "You are not allowed to create this tag as it is protected.",
        ),
        yes("M08", "a protected tag of a maintainer", push_create("maintainer", "refs/tags/v1")),
        case("M08", "no line of changes", push("developer", "team/guarded").with("changes", "a b c"), 400),
    ];
    for who in ["reporter", "guest"] {
        for name in ["refs/heads/new", "refs/heads/master", "refs/tags/one"] {
            rows.push(refused("M06", who, push_create(who, name), PUSH));
        }
    }
    assert_cases(&contract_directory::shared_env(), rows);
}
