//! Group M: a push whose changes are known. The primary decides on them, whoever is asked.
//!
//! Not made: M05 (merge requests under way), M07 (a check of the repository that takes too long: the repository is not looked at).

use super::table::{Ask, check, no, row};
use super::world::{self, push};

const PROTECTED: &str = "You are not allowed to push code to protected branches on this project.";
const PUSH: &str = "You are not allowed to push code to this project.";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";
const NOTHING: &str = "0000000000000000000000000000000000000000";

fn change(who: &str, old: &str, new: &str, name: &str) -> Ask {
    push(who, "team/guarded").with("changes", format!("{old} {new} {name}\n"))
}

fn update(who: &str, name: &str) -> Ask {
    change(who, ONE, TWO, name)
}

fn create(who: &str, name: &str) -> Ask {
    change(who, NOTHING, TWO, name)
}

fn delete(who: &str, name: &str) -> Ask {
    change(who, ONE, NOTHING, name)
}

#[test]
fn each_line_of_a_push_is_judged() {
    let yes = |id, given: &str, ask| row(id, given, ask, 200).from("forwarded");
    let refused = |id, given: &str, ask, text: &str| row(id, given, ask, 401).is(no(text)).from("forwarded");
    let web = |ask: Ask| ask.with("protocol", "web");
    let mut rows = vec![
        refused("M01", "a developer, the protected branch", update("developer", "refs/heads/feature"), PROTECTED),
        yes("M01", "a developer, another branch", update("developer", "refs/heads/other")),
        yes("M01", "a developer, a new branch", create("developer", "refs/heads/new")),
        yes("M01", "a developer, a tag", create("developer", "refs/tags/one")),
        refused(
            "M01",
            "a developer, the protected one among others",
            {
                let lines = format!("{ONE} {TWO} refs/heads/other\n{ONE} {TWO} refs/heads/feature\n");
                push("developer", "team/guarded").with("changes", lines)
            },
            PROTECTED,
        ),
        yes("M02", "a maintainer, the protected branch", update("maintainer", "refs/heads/feature")),
        refused(
            "M02",
            "a maintainer deletes it over SSH",
            delete("maintainer", "refs/heads/feature"),
            "You can only delete protected branches using the web interface.",
        ),
        yes("M02", "a maintainer deletes it in the browser", web(delete("maintainer", "refs/heads/feature"))),
        refused(
            "M02",
            "a developer deletes it",
            delete("developer", "refs/heads/feature"),
            "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.",
        ),
        yes("M03", "a developer, where developers may", update("developer", "refs/heads/shared")),
        refused("M04", "a maintainer, where nobody may", update("maintainer", "refs/heads/frozen/1"), PROTECTED),
        refused(
            "M08",
            "the default branch is deleted",
            delete("maintainer", "refs/heads/main"),
            "The default branch of a project cannot be deleted.",
        ),
        refused(
            "M08",
            "a branch of 40 hexadecimal digits",
            create("maintainer", &format!("refs/heads/{ONE}")),
            "You cannot create a branch with a 40-character hexadecimal branch name.",
        ),
        refused(
            "M08",
            "a protected tag",
            create("developer", "refs/tags/v1"),
            "You are not allowed to create this tag as it is protected.",
        ),
        yes("M08", "a protected tag of a maintainer", create("maintainer", "refs/tags/v1")),
        row("M08", "no line of changes", push("developer", "team/guarded").with("changes", "a b c"), 400),
    ];
    for who in ["reporter", "guest"] {
        for name in ["refs/heads/new", "refs/heads/master", "refs/tags/one"] {
            rows.push(refused("M06", who, create(who, name), PUSH));
        }
    }
    check(&world::plain(), rows);
}
