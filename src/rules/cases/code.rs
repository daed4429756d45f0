//! Cases J and K, and H of projects: who pulls and pushes code.

use crate::model::question::{Action, Claimant, Protocol, Question};
use crate::model::verdict::FoundBy;
use crate::rules::cases::{
    ARCHIVED, DEPLOY, DOWNLOAD, MISSING, PUSH, READ_ONLY, by_id, by_key, by_user, house, judged, no, project, pull, push, said, yes,
};

/// H01 to H11: what a yes names.
#[test]
fn a_yes_names_actor_repository_storage_and_root() {
    let house = house();
    let grant = yes(&house, &pull(by_key(103), "/g/sub/deep.git"));
    assert_eq!(grant.repository.word(), "project-13");
    assert_eq!(grant.actor.user().map(|user| user.id.number()), Some(3));
    assert_eq!(grant.actor.key().map(|key| key.id.number()), Some(103));
    assert_eq!(grant.root_namespace.map(u64::from), Some(1));
    assert_eq!(grant.storage.map(|storage| storage.address.to_string()).as_deref(), Some("unix:/gitaly.sock"));
    let wiki = yes(&house, &push(by_user(3), "g/private.wiki"));
    assert_eq!((wiki.repository.word(), wiki.repository.path()), ("wiki-10".to_owned(), "g/private.wiki".to_owned()));
    assert_eq!(wiki.repository.relative_path(), "@hashed/10.wiki.git");
    let _archive = yes(&house, &Question { action: Action::UploadArchive, ..pull(by_key(121), "g/private") });
}

/// J04 to J14 and the whole table of server.md 3.4. Columns: nobody, external, outsider, guest, planner, reporter, developer, owner,
/// attached deploy key, foreign deploy key; `+` a yes, `d` no download, `.` missing.
#[test]
fn code_is_downloaded_by_visibility_feature_and_role() {
    let actors =
        [Claimant::Nobody, by_user(8), by_user(7), by_user(6), by_user(5), by_user(4), by_user(3), by_user(1), by_key(121), by_key(122)];
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
        let table = house().with([project(visibility, &format!(r#","repository_access":"{feature}""#)).as_str()]);
        for (column, (claimant, expected)) in actors.iter().zip(expected.chars()).enumerate() {
            for action in [Action::UploadPack, Action::UploadArchive] {
                let question = Question { action, ..pull(claimant.clone(), &format!("g/{visibility}")) };
                let wanted = match expected {
                    '+' => (200, String::new()),
                    'd' => (401, DOWNLOAD.to_owned()),
                    _ => (404, MISSING.to_owned()),
                };
                assert_eq!(said(&table, &question), wanted, "{visibility} {feature} column {column}");
            }
        }
    }
}

/// server.md 3.4: guests from outside.
#[test]
fn an_external_guest_sees_an_internal_project_without_its_code() {
    no(&house(), &pull(by_user(26), "g/internal"), 401, DOWNLOAD);
    no(&house(), &pull(by_user(25), "g/internal"), 401, DOWNLOAD);
    let _ = yes(&house(), &pull(by_user(24), "g/internal"));
    let _ = yes(&house(), &pull(by_user(26), "g/public"));
}

/// J09, J10, J13, K01 to K05 and server.md 3.5.
#[test]
fn code_is_pushed_from_developer_on() {
    for visibility in ["private", "internal", "public"] {
        let path = format!("g/{visibility}");
        for id in [1, 2, 3, 9, 23] {
            let _ = yes(&house(), &push(by_user(id), &path));
            let disabled = house().with([project(visibility, r#","repository_access":"disabled""#).as_str()]);
            no(&disabled, &push(by_user(id), &path), 401, PUSH);
        }
        for id in [4, 5, 6] {
            no(&house(), &push(by_user(id), &path), 401, PUSH);
        }
        let _ = yes(&house(), &push(by_key(120), &path));
        no(&house(), &push(by_key(121), &path), 401, DEPLOY);
    }
    no(&house(), &push(by_user(7), "g/private"), 404, MISSING);
    no(&house(), &Question { protocol: Protocol::Http, ..push(by_user(7), "g/private") }, 404, MISSING);
    no(&house(), &push(by_user(8), "g/internal"), 404, MISSING);
    no(&house(), &push(by_user(7), "g/internal"), 401, PUSH);
    no(&house(), &push(by_user(8), "g/public"), 401, PUSH);
    no(&house(), &push(by_key(122), "g/public"), 401, DEPLOY);
    no(&house(), &push(by_key(122), "g/internal"), 404, MISSING);
    no(&house(), &push(by_key(122), "g/private"), 404, MISSING);
}

/// J03: who is not yet a member is none.
#[test]
fn a_membership_that_waits_or_has_ended_is_none() {
    for end in [r#""pending":true"#, r#""expires_at":"2026-05-31T00:00:00Z""#] {
        let table = house().with([format!(r#"{{"kind":"member","project_id":10,"user_id":7,"access_level":40,{end}}}"#).as_str()]);
        no(&table, &pull(by_user(7), "g/private"), 404, MISSING);
        no(&table, &push(by_user(7), "g/private"), 404, MISSING);
    }
}

/// J14: that there is no repository comes before whether it may be downloaded.
#[test]
fn a_project_without_a_repository_says_so_to_who_may_see_it() {
    let table = house().with([project("private", r#","repository_exists":false"#).as_str()]);
    no(&table, &pull(by_user(6), "g/private"), 404, "A repository for this project does not exist yet.");
    no(&table, &pull(by_user(7), "g/private"), 404, MISSING);
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
        let table = house().with([line.as_str()]);
        for claimant in [by_user(2), by_user(3), by_user(9), by_key(120)] {
            no(&table, &push(claimant.clone(), "g/private"), 401, text);
            let _ = yes(&table, &pull(claimant, "g/private"));
        }
    }
    no(&house().with([above]), &push(by_user(3), "g/sub/deep"), 401, ARCHIVED);
}

/// J18, J19 and server.md 3.1: 9b.
#[test]
fn what_is_not_there_is_said_by_the_form_of_its_path() {
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
        no(&house(), &pull(by_user(7), path), 404, text);
    }
    no(&house(), &Question { project: None, ..pull(by_user(7), "") }, 404, namespace);
    no(&house(), &by_id(pull(by_user(7), ""), "project-999"), 404, MISSING);
    no(&house(), &by_id(pull(by_user(7), ""), "project-foo"), 404, MISSING);
    assert_eq!(said(&house(), &by_id(pull(by_user(7), ""), "house-1")).0, 400);
}

#[test]
fn a_former_path_leads_to_its_project_and_is_told_apart() {
    assert_eq!(judged(&house(), &pull(by_user(3), "old/PRIVATE")).found, FoundBy::Redirect);
    assert_eq!(judged(&house(), &pull(by_user(3), "G/private")).found, FoundBy::Itself);
    assert_eq!(judged(&house(), &pull(by_user(3), "g/none")).found, FoundBy::Nothing);
    no(&house(), &pull(by_user(7), "old/private"), 404, MISSING);
}
