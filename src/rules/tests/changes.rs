//! Cases M: the second question of a push, with its real changes.

use crate::model::access_request::{AllowedRequest, Protocol, RefChanges};
use crate::model::memory_directory::MemoryDirectory;
use crate::rules::tests::{
    ARCHIVED, DEPLOY, PUSH, assert_granted, assert_refused, key_claimant, project, push, sample_directory, status_and_message,
    user_claimant,
};

const ZERO: &str = "0000000000000000000000000000000000000000";
const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

const PROTECTED: &str = "You are not allowed to push code to protected branches on this project.";

/// Project `g/private` with `feature` for maintainers, `locked` for no one, `open/*` for developers, `merged` for merges of
/// developers, and tags `v*` for maintainers, `v-dev-*` for developers too.
fn directory_with_protected_refs() -> MemoryDirectory {
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
    sample_directory().with_lines(lines.iter().map(String::as_str))
}

fn push_changes(id: u64, lines: &[(&str, &str, &str)]) -> AllowedRequest {
    let text: Vec<_> = lines.iter().map(|(old, new, name)| format!("{old} {new} {name}\n")).collect();
    AllowedRequest { changes: RefChanges::Listed(text.concat()), ..push(user_claimant(id), "g/private") }
}

/// M01: what is not protected stays open.
#[test]
fn a_developer_pushes_where_nothing_is_protected() {
    assert_refused(&directory_with_protected_refs(), &push_changes(3, &[(ONE, TWO, "refs/heads/feature")]), 401, PROTECTED);
    for line in [
        (ONE, TWO, "refs/heads/other"),
        (ZERO, TWO, "refs/heads/fresh"),
        (ONE, ZERO, "refs/heads/other"),
        (ZERO, TWO, "refs/tags/t1"),
        (ONE, TWO, "refs/heads/features"),
        (ONE, TWO, "refs/heads/open/door"),
        (ONE, TWO, "refs/notes/commits"),
    ] {
        let _ = assert_granted(&directory_with_protected_refs(), &push_changes(3, &[line]));
    }
    assert_refused(
        &directory_with_protected_refs(),
        &push_changes(3, &[(ONE, TWO, "refs/heads/other"), (ONE, TWO, "refs/heads/feature")]),
        401,
        PROTECTED,
    );
}

/// M02.
#[test]
fn a_maintainer_pushes_to_a_protected_branch_and_deletes_it_by_the_web_only() {
    let delete = push_changes(2, &[(ONE, ZERO, "refs/heads/feature")]);
    let _ = assert_granted(&directory_with_protected_refs(), &push_changes(2, &[(ONE, TWO, "refs/heads/feature")]));
    assert_refused(&directory_with_protected_refs(), &delete, 401, "You can only delete protected branches using the web interface.");
    let _ = assert_granted(&directory_with_protected_refs(), &AllowedRequest { protocol: Protocol::Web, ..delete });
    let developer = push_changes(3, &[(ONE, ZERO, "refs/heads/feature")]);
    let text = "You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.";
    assert_refused(&directory_with_protected_refs(), &AllowedRequest { protocol: Protocol::Web, ..developer }, 401, text);
}

/// M04, and whoever it is.
#[test]
fn nobody_pushes_to_a_branch_for_no_one() {
    for id in [1, 2, 3, 9] {
        assert_refused(&directory_with_protected_refs(), &push_changes(id, &[(ONE, TWO, "refs/heads/locked")]), 401, PROTECTED);
    }
    let also = r#"{"kind":"protected_branch","project_id":10,"pattern":"lock*","push":"developer"}"#;
    let _ = assert_granted(&directory_with_protected_refs().with_lines([also]), &push_changes(3, &[(ONE, TWO, "refs/heads/locked")]));
}

/// M05: no merge request is known here, so none is in progress.
#[test]
fn a_merge_is_not_taken_for_one_without_its_merge_request() {
    assert_refused(&directory_with_protected_refs(), &push_changes(3, &[(ONE, TWO, "refs/heads/merged")]), 401, PROTECTED);
    let text = "You can only create protected branches using the web interface and API.";
    assert_refused(&directory_with_protected_refs(), &push_changes(3, &[(ZERO, TWO, "refs/heads/merged")]), 401, text);
    assert_refused(
        &directory_with_protected_refs(),
        &push_changes(3, &[(ZERO, TWO, "refs/heads/feature")]),
        401,
        "You are not allowed to create protected branches on this project.",
    );
}

/// M06.
#[test]
fn who_may_not_push_changes_no_ref() {
    for id in [4, 5, 6] {
        for line in [(ZERO, TWO, "refs/heads/fresh"), (ONE, TWO, "refs/heads/master"), (ZERO, TWO, "refs/tags/t1")] {
            assert_refused(&directory_with_protected_refs(), &push_changes(id, &[line]), 401, PUSH);
        }
    }
}

#[test]
fn tags_are_protected_by_patterns_of_their_own() {
    let create = "You are not allowed to create this tag as it is protected.";
    assert_refused(&directory_with_protected_refs(), &push_changes(3, &[(ZERO, TWO, "refs/tags/v1")]), 401, create);
    let _ = assert_granted(&directory_with_protected_refs(), &push_changes(3, &[(ZERO, TWO, "refs/tags/v-dev-1")]));
    let _ = assert_granted(&directory_with_protected_refs(), &push_changes(2, &[(ZERO, TWO, "refs/tags/v1")]));
    assert_refused(
        &directory_with_protected_refs(),
        &push_changes(2, &[(ONE, TWO, "refs/tags/v1")]),
        401,
        "Protected tags cannot be updated.",
    );
    assert_refused(
        &directory_with_protected_refs(),
        &push_changes(2, &[(ONE, ZERO, "refs/tags/v1")]),
        401,
        "You can only delete protected tags using the web interface.",
    );
    let text =
        "You are not allowed to delete protected tags from this project. Only a project maintainer or owner can delete a protected tag.";
    assert_refused(&directory_with_protected_refs(), &push_changes(3, &[(ONE, ZERO, "refs/tags/v1")]), 401, text);
    let _ = assert_granted(&directory_with_protected_refs(), &push_changes(3, &[(ONE, TWO, "refs/tags/t1")]));
}

#[test]
fn the_default_branch_cannot_be_deleted_and_no_branch_is_named_like_a_revision() {
    for id in [1, 2, 9] {
        assert_refused(
            &directory_with_protected_refs(),
            &push_changes(id, &[(ONE, ZERO, "refs/heads/main")]),
            401,
            "The default branch of a project cannot be deleted.",
        );
    }
    let renamed = directory_with_protected_refs().with_lines([project("private", r#","default_branch":"trunk""#).as_str()]);
    let _ = assert_granted(&renamed, &push_changes(3, &[(ONE, ZERO, "refs/heads/main")]));
    let text = "You cannot create a branch with a 40-character hexadecimal branch name.";
    assert_refused(&directory_with_protected_refs(), &push_changes(2, &[(ZERO, ONE, &format!("refs/heads/{TWO}"))]), 401, text);
    let _ = assert_granted(&directory_with_protected_refs(), &push_changes(2, &[(ONE, ZERO, &format!("refs/heads/{TWO}"))]));
}

#[test]
fn a_deploy_key_writes_only_what_is_not_protected() {
    let by = |id, line| AllowedRequest { claimed_actor: key_claimant(id), ..push_changes(0, &[line]) };
    let _ = assert_granted(&directory_with_protected_refs(), &by(120, (ONE, TWO, "refs/heads/other")));
    assert_refused(&directory_with_protected_refs(), &by(120, (ONE, TWO, "refs/heads/open/door")), 401, PROTECTED);
    assert_refused(
        &directory_with_protected_refs(),
        &by(120, (ONE, TWO, "refs/tags/t1")),
        401,
        "You are not allowed to change existing tags on this project.",
    );
    assert_refused(&directory_with_protected_refs(), &by(121, (ONE, TWO, "refs/heads/other")), 401, DEPLOY);
}

#[test]
fn the_second_request_runs_all_checks_of_the_first() {
    let directory = directory_with_protected_refs().with_lines([project("private", r#","archived":true"#).as_str()]);
    assert_refused(&directory, &push_changes(2, &[(ONE, TWO, "refs/heads/other")]), 401, ARCHIVED);
    let missing = AllowedRequest { project: Some("outsider/fresh".to_owned()), ..push_changes(7, &[(ZERO, TWO, "refs/heads/main")]) };
    assert_eq!(status_and_message(&directory_with_protected_refs(), &missing).0, 404);
}

#[test]
fn a_malformed_line_is_refused_with_its_number() {
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
        let request = AllowedRequest { changes: RefChanges::Listed(format!("{good}\n\n{wrong}")), ..push(user_claimant(2), "g/private") };
        let (status, text) = status_and_message(&directory_with_protected_refs(), &request);
        assert_eq!((status, text.starts_with("Line 3 of the changes")), (400, true), "{wrong:?}: {text}");
    }
    for right in [format!("{good}\r\n"), format!("\n{good}\n\n"), "\n".to_owned()] {
        let request = AllowedRequest { changes: RefChanges::Listed(right.clone()), ..push(user_claimant(2), "g/private") };
        assert_eq!(status_and_message(&directory_with_protected_refs(), &request).0, 200, "{right:?}");
    }
}
