//! Cases J and K, and H of projects: who pulls and pushes code.

use crate::model::access_decision::FoundBy;
use crate::model::access_request::{Action, AllowedRequest, ClaimedActor, Protocol};
use crate::rules::tests::{
    ARCHIVED, DEPLOY, DOWNLOAD, MISSING, PUSH, READ_ONLY, assert_granted, assert_refused, evaluate, key_claimant, project, pull, push,
    sample_directory, status_and_message, user_claimant, with_gl_repository,
};

/// H01 to H11: what a yes names.
#[test]
fn a_grant_has_actor_repository_storage_and_root_namespace() {
    let directory = sample_directory();
    let grant = assert_granted(&directory, &pull(key_claimant(103), "/g/sub/deep.git"));
    assert_eq!(grant.repository.gl_repository(), "project-13");
    assert_eq!(grant.actor.user().map(|user| user.id.number()), Some(3));
    assert_eq!(grant.actor.key().map(|key| key.id.number()), Some(103));
    assert_eq!(grant.root_namespace.map(u64::from), Some(1));
    assert_eq!(grant.storage.map(|storage| storage.address.to_string()).as_deref(), Some("unix:/gitaly.sock"));
    let wiki = assert_granted(&directory, &push(user_claimant(3), "g/private.wiki"));
    assert_eq!((wiki.repository.gl_repository(), wiki.repository.path()), ("wiki-10".to_owned(), "g/private.wiki".to_owned()));
    assert_eq!(wiki.repository.relative_path(), "@hashed/10.wiki.git");
    let _archive = assert_granted(&directory, &AllowedRequest { action: Action::UploadArchive, ..pull(key_claimant(121), "g/private") });
}

/// J04 to J14 and the whole table of server.md 3.4. Columns: nobody, external, outsider, guest, planner, reporter, developer, owner,
/// attached deploy key, foreign deploy key; `+` a yes, `d` no download, `.` missing.
#[test]
fn code_is_downloaded_by_visibility_feature_and_role() {
    let actors = [
        ClaimedActor::Unspecified,
        user_claimant(8),
        user_claimant(7),
        user_claimant(6),
        user_claimant(5),
        user_claimant(4),
        user_claimant(3),
        user_claimant(1),
        key_claimant(121),
        key_claimant(122),
    ];
    for (visibility, feature, expected) in [
        ("public", "enabled", "++++++++++"),
        ("public", "private", "ddd++++++d"),
        ("public", "disabled", "dddddddddd"),
        ("internal", "enabled", "..+++++++."),
        ("internal", "private", "..d++++++."),
        ("internal", "disabled", "..ddddddd."),
        ("private", "enabled", "...dd++++."),
        ("private", "private", "...dd++++."),
        ("private", "disabled", "...dddddd."),
    ] {
        let directory = sample_directory().with_lines([project(visibility, &format!(r#","repository_access":"{feature}""#)).as_str()]);
        for (column, (claimed_actor, expected)) in actors.iter().zip(expected.chars()).enumerate() {
            for action in [Action::UploadPack, Action::UploadArchive] {
                let request = AllowedRequest { action, ..pull(claimed_actor.clone(), &format!("g/{visibility}")) };
                let wanted = match expected {
                    '+' => (200, String::new()),
                    'd' => (401, DOWNLOAD.to_owned()),
                    _ => (404, MISSING.to_owned()),
                };
                assert_eq!(status_and_message(&directory, &request), wanted, "{visibility} {feature} column {column}");
            }
        }
    }
}

/// server.md 3.4: guests from outside.
#[test]
fn an_external_guest_sees_an_internal_project_without_its_code() {
    assert_refused(&sample_directory(), &pull(user_claimant(26), "g/internal"), 401, DOWNLOAD);
    assert_refused(&sample_directory(), &pull(user_claimant(25), "g/internal"), 401, DOWNLOAD);
    let _ = assert_granted(&sample_directory(), &pull(user_claimant(24), "g/internal"));
    let _ = assert_granted(&sample_directory(), &pull(user_claimant(26), "g/public"));
}

/// J09, J10, J13, K01 to K05 and server.md 3.5.
#[test]
fn code_is_pushed_from_developer_on() {
    for visibility in ["private", "internal", "public"] {
        let path = format!("g/{visibility}");
        for id in [1, 2, 3, 9, 23] {
            let _ = assert_granted(&sample_directory(), &push(user_claimant(id), &path));
            let disabled = sample_directory().with_lines([project(visibility, r#","repository_access":"disabled""#).as_str()]);
            assert_refused(&disabled, &push(user_claimant(id), &path), 401, PUSH);
        }
        for id in [4, 5, 6] {
            assert_refused(&sample_directory(), &push(user_claimant(id), &path), 401, PUSH);
        }
        let _ = assert_granted(&sample_directory(), &push(key_claimant(120), &path));
        assert_refused(&sample_directory(), &push(key_claimant(121), &path), 401, DEPLOY);
    }
    assert_refused(&sample_directory(), &push(user_claimant(7), "g/private"), 404, MISSING);
    assert_refused(&sample_directory(), &AllowedRequest { protocol: Protocol::Http, ..push(user_claimant(7), "g/private") }, 404, MISSING);
    assert_refused(&sample_directory(), &push(user_claimant(8), "g/internal"), 404, MISSING);
    assert_refused(&sample_directory(), &push(user_claimant(7), "g/internal"), 401, PUSH);
    assert_refused(&sample_directory(), &push(user_claimant(8), "g/public"), 401, PUSH);
    assert_refused(&sample_directory(), &push(key_claimant(122), "g/public"), 401, DEPLOY);
    assert_refused(&sample_directory(), &push(key_claimant(122), "g/internal"), 404, MISSING);
    assert_refused(&sample_directory(), &push(key_claimant(122), "g/private"), 404, MISSING);
}

/// J03: who is not yet a member is none.
#[test]
fn a_pending_or_expired_membership_does_not_count() {
    for end in [r#""pending":true"#, r#""expires_at":"2026-05-31T00:00:00Z""#] {
        let directory =
            sample_directory().with_lines([format!(r#"{{"kind":"member","project_id":10,"user_id":7,"access_level":40,{end}}}"#).as_str()]);
        assert_refused(&directory, &pull(user_claimant(7), "g/private"), 404, MISSING);
        assert_refused(&directory, &push(user_claimant(7), "g/private"), 404, MISSING);
    }
}

/// J14: that there is no repository comes before whether it may be downloaded.
#[test]
fn a_missing_repository_is_reported_to_who_may_see_the_project() {
    let directory = sample_directory().with_lines([project("private", r#","repository_exists":false"#).as_str()]);
    assert_refused(&directory, &pull(user_claimant(6), "g/private"), 404, "A repository for this project does not exist yet.");
    assert_refused(&directory, &pull(user_claimant(7), "g/private"), 404, MISSING);
}

/// J15 to J17, N of archives: pulls stay.
#[test]
fn read_only_and_archived_repositories_are_only_pulled() {
    let above = r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g","archived":true}"#;
    for (line, text) in [
        (project("private", r#","repository_read_only":true"#), READ_ONLY),
        (project("private", r#","archived":true"#), ARCHIVED),
        (above.to_owned(), ARCHIVED),
    ] {
        let directory = sample_directory().with_lines([line.as_str()]);
        for claimed_actor in [user_claimant(2), user_claimant(3), user_claimant(9), key_claimant(120)] {
            assert_refused(&directory, &push(claimed_actor.clone(), "g/private"), 401, text);
            let _ = assert_granted(&directory, &pull(claimed_actor, "g/private"));
        }
    }
    assert_refused(&sample_directory().with_lines([above]), &push(user_claimant(3), "g/sub/deep"), 401, ARCHIVED);
}

/// J18, J19 and server.md 3.1: 9b.
#[test]
fn a_missing_repository_is_reported_by_the_form_of_its_path() {
    let namespace = "The namespace you were looking for could not be found.";
    for (path, text) in [
        ("", namespace),
        ("/", namespace),
        ("single", namespace),
        ("single.git", namespace),
        ("a//b", namespace),
        ("//a/b", namespace),
        ("a/b/", namespace),
        ("project/does-not-exist.git", MISSING),
        ("g/none.wiki", MISSING),
        ("snippets/77", MISSING),
    ] {
        assert_refused(&sample_directory(), &pull(user_claimant(7), path), 404, text);
    }
    assert_refused(&sample_directory(), &AllowedRequest { project: None, ..pull(user_claimant(7), "") }, 404, namespace);
    assert_refused(&sample_directory(), &with_gl_repository(pull(user_claimant(7), ""), "project-999"), 404, MISSING);
    assert_refused(&sample_directory(), &with_gl_repository(pull(user_claimant(7), ""), "project-foo"), 404, MISSING);
    assert_eq!(status_and_message(&sample_directory(), &with_gl_repository(pull(user_claimant(7), ""), "place-1")).0, 400);
}

#[test]
fn a_former_path_finds_its_project_and_is_reported_as_a_redirect() {
    assert_eq!(evaluate(&sample_directory(), &pull(user_claimant(3), "old/PRIVATE")).found_by, FoundBy::Redirect);
    assert_eq!(evaluate(&sample_directory(), &pull(user_claimant(3), "G/private")).found_by, FoundBy::CurrentPath);
    assert_eq!(evaluate(&sample_directory(), &pull(user_claimant(3), "g/none")).found_by, FoundBy::NotFound);
    assert_refused(&sample_directory(), &pull(user_claimant(7), "old/private"), 404, MISSING);
}
