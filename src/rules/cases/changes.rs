//! Cases M: the second question of a push, with its real changes.

use crate::model::question::{Changes, Protocol, Question};
use crate::model::table::Table;
use crate::rules::cases::{ARCHIVED, DEPLOY, PUSH, by_key, by_user, house, no, project, push, said, yes};

const ZERO: &str = "0000000000000000000000000000000000000000";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

const PROTECTED: &str = "You are not allowed to push code to protected branches on this project.";

/// Project `g/private` with `feature` for maintainers, `locked` for no one, `open/*` for developers, `merged` for merges of
/// developers, and tags `v*` for maintainers, `v-dev-*` for developers too.
fn guarded() -> Table {
    let branch = |rest: &str| format!(r#"{{"kind":"protected_branch","project_id":10,{rest}}}"#);
    let tag = |rest: &str| format!(r#"{{"kind":"protected_tag","project_id":10,{rest}}}"#);
    let lines = [
        branch(r#""pattern":"feature""#),
        branch(r#""pattern":"locked","push":"noone","merge":"noone""#),
        branch(r#""pattern":"open/*","push":"developer""#),
        branch(r#""pattern":"merged","merge":"developer""#),
        tag(r#""pattern":"v*""#),
        tag(r#""pattern":"v-dev-*","create":"developer""#),
    ];
    house().with(lines.iter().map(String::as_str))
}

fn writes(id: u64, lines: &[(&str, &str, &str)]) -> Question {
    let text: Vec<_> = lines.iter().map(|(old, new, name)| format!("{old} {new} {name}\n")).collect();
    Question { changes: Changes::Real(text.concat()), ..push(by_user(id), "g/private") }
}

/// M01: what is not protected stays open.
#[test]
fn a_developer_pushes_where_nothing_is_protected() {
    no(&guarded(), &writes(3, &[(ONE, TWO, "refs/heads/feature")]), 401, PROTECTED);
    for line in [
        (ONE, TWO, "refs/heads/other"),
        (ZERO, TWO, "refs/heads/fresh"),
        (ONE, ZERO, "refs/heads/other"),
        (ZERO, TWO, "refs/tags/t1"),
        (ONE, TWO, "refs/heads/features"),
        (ONE, TWO, "refs/heads/open/door"),
        (ONE, TWO, "refs/notes/commits"),
    ] {
        let _ = yes(&guarded(), &writes(3, &[line]));
    }
    no(&guarded(), &writes(3, &[(ONE, TWO, "refs/heads/other"), (ONE, TWO, "refs/heads/feature")]), 401, PROTECTED);
}

/// M02.
#[test]
fn a_maintainer_pushes_to_a_protected_branch_and_deletes_it_by_the_web_only() {
    let delete = writes(2, &[(ONE, ZERO, "refs/heads/feature")]);
    let _ = yes(&guarded(), &writes(2, &[(ONE, TWO, "refs/heads/feature")]));
    no(&guarded(), &delete, 401, "You can only delete protected branches using the web interface.");
    let _ = yes(&guarded(), &Question { protocol: Protocol::Web, ..delete });
    let developer = writes(3, &[(ONE, ZERO, "refs/heads/feature")]);
    let text = "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.";
    no(&guarded(), &Question { protocol: Protocol::Web, ..developer }, 401, text);
}

/// M04, and whoever it is.
#[test]
fn nobody_pushes_to_a_branch_for_no_one() {
    for id in [1, 2, 3, 9] {
        no(&guarded(), &writes(id, &[(ONE, TWO, "refs/heads/locked")]), 401, PROTECTED);
    }
    let also = r#"{"kind":"protected_branch","project_id":10,"pattern":"lock*","push":"developer"}"#;
    let _ = yes(&guarded().with([also]), &writes(3, &[(ONE, TWO, "refs/heads/locked")]));
}

/// M05: no merge request is known here, so none is in progress.
#[test]
fn a_merge_is_not_taken_for_one_without_its_merge_request() {
    no(&guarded(), &writes(3, &[(ONE, TWO, "refs/heads/merged")]), 401, PROTECTED);
    let text = "You can only create protected branches using the web interface and API.";
    no(&guarded(), &writes(3, &[(ZERO, TWO, "refs/heads/merged")]), 401, text);
    no(
        &guarded(),
        &writes(3, &[(ZERO, TWO, "refs/heads/feature")]),
        401,
        "You are not allowed to create protected branches on this project.",
    );
}

/// M06.
#[test]
fn who_may_not_push_writes_nothing() {
    for id in [4, 5, 6] {
        for line in [(ZERO, TWO, "refs/heads/fresh"), (ONE, TWO, "refs/heads/master"), (ZERO, TWO, "refs/tags/t1")] {
            no(&guarded(), &writes(id, &[line]), 401, PUSH);
        }
    }
}

#[test]
fn tags_are_protected_by_patterns_of_their_own() {
    let create = "You are not allowed to create this tag as it is protected.";
    no(&guarded(), &writes(3, &[(ZERO, TWO, "refs/tags/v1")]), 401, create);
    let _ = yes(&guarded(), &writes(3, &[(ZERO, TWO, "refs/tags/v-dev-1")]));
    let _ = yes(&guarded(), &writes(2, &[(ZERO, TWO, "refs/tags/v1")]));
    no(&guarded(), &writes(2, &[(ONE, TWO, "refs/tags/v1")]), 401, "Protected tags cannot be updated.");
    no(&guarded(), &writes(2, &[(ONE, ZERO, "refs/tags/v1")]), 401, "You can only delete protected tags using the web interface.");
    let text =
        "You are not allowed to delete protected tags from this project. Only a project maintainer or owner can delete a protected tag.";
    no(&guarded(), &writes(3, &[(ONE, ZERO, "refs/tags/v1")]), 401, text);
    let _ = yes(&guarded(), &writes(3, &[(ONE, TWO, "refs/tags/t1")]));
}

#[test]
fn the_default_branch_stays_and_no_branch_is_spelled_as_a_revision() {
    for id in [1, 2, 9] {
        no(&guarded(), &writes(id, &[(ONE, ZERO, "refs/heads/main")]), 401, "The default branch of a project cannot be deleted.");
    }
    let renamed = guarded().with([project("private", r#","default_branch":"trunk""#).as_str()]);
    let _ = yes(&renamed, &writes(3, &[(ONE, ZERO, "refs/heads/main")]));
    let text = "You cannot create a branch with a 40-character hexadecimal branch name.";
    no(&guarded(), &writes(2, &[(ZERO, ONE, &format!("refs/heads/{TWO}"))]), 401, text);
    let _ = yes(&guarded(), &writes(2, &[(ONE, ZERO, &format!("refs/heads/{TWO}"))]));
}

#[test]
fn a_deploy_key_writes_only_what_is_not_protected() {
    let by = |id, line| Question { claimant: by_key(id), ..writes(0, &[line]) };
    let _ = yes(&guarded(), &by(120, (ONE, TWO, "refs/heads/other")));
    no(&guarded(), &by(120, (ONE, TWO, "refs/heads/open/door")), 401, PROTECTED);
    no(&guarded(), &by(120, (ONE, TWO, "refs/tags/t1")), 401, "You are not allowed to change existing tags on this project.");
    no(&guarded(), &by(121, (ONE, TWO, "refs/heads/other")), 401, DEPLOY);
}

#[test]
fn the_hook_is_asked_all_that_the_first_question_was() {
    let table = guarded().with([project("private", r#","archived":true"#).as_str()]);
    no(&table, &writes(2, &[(ONE, TWO, "refs/heads/other")]), 401, ARCHIVED);
    let missing = Question { project: Some("outsider/fresh".to_owned()), ..writes(7, &[(ZERO, TWO, "refs/heads/main")]) };
    assert_eq!(said(&guarded(), &missing).0, 404);
}

#[test]
fn a_line_that_is_none_is_refused_with_its_number() {
    let good = format!("{ONE} {TWO} refs/heads/other");
    for wrong in [
        "x".to_owned(),
        format!("{ONE} {TWO}"),
        format!("{ONE} {TWO} "),
        format!("{ONE}  {TWO} refs/heads/a"),
        format!("{ZERO} {ZERO} refs/heads/a"),
        format!("{ONE} {TWO}{TWO} refs/heads/a"),
        format!("{ONE} {TWO} heads/a"),
        format!("{ONE} {TWO} refs/heads/"),
        format!("{ONE} {TWO} refs/heads/a b"),
        format!("{ONE} {TWO} refs/heads/../main"),
        format!("{ONE} {TWO} refs/heads//feature"),
        format!("{ONE} {TWO} refs/heads/feature\r\r"),
        format!("{} {TWO} refs/heads/a", &ONE[1..]),
    ] {
        let question = Question { changes: Changes::Real(format!("{good}\n\n{wrong}")), ..push(by_user(2), "g/private") };
        let (status, text) = said(&guarded(), &question);
        assert_eq!((status, text.starts_with("Line 3 of the changes")), (400, true), "{wrong:?}: {text}");
    }
    for right in [format!("{good}\r\n"), format!("\n{good}\n\n"), "\n".to_owned()] {
        let question = Question { changes: Changes::Real(right.clone()), ..push(by_user(2), "g/private") };
        assert_eq!(said(&guarded(), &question).0, 200, "{right:?}");
    }
}
