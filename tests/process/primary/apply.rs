//! A directory file becomes the directory: all of it or nothing, and the result is consistent.

use http::StatusCode;
use serde_json::json;

use super::{TestPrimary, home, key, project, public_key, small_directory, storage, user};

#[test]
fn applied_again_it_changes_nothing_and_an_export_is_the_same_directory() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let (status, body) = primary.apply("", &small_directory());
    assert_eq!((status, &body["how"], &body["kinds"]["key"]["unchanged"]), (StatusCode::OK, &json!("nothing"), &json!(2)));
    let export = primary.export();
    assert!(export.starts_with("{\"kind\":\"storage\"") && export.ends_with("\n"), "{export}");
    let (_, body) = primary.apply("?prune=true", &[export]);
    assert_eq!((&body["how"], &body["removed"]), (&json!("nothing"), &json!(0)));
    assert_eq!(primary.head(), head);
}

#[test]
fn without_prune_the_file_is_added_and_with_prune_unlisted_records_are_removed() {
    let primary = TestPrimary::with(&small_directory());
    let (_, body) = primary.apply("", &[user(3, "eve"), key(13, 3)]);
    assert_eq!((&body["how"], &body["added"], &body["removed"]), (&json!("commit"), &json!(2), &json!(0)));
    let (_, body) = primary.apply("?prune", &small_directory());
    assert_eq!((&body["removed"], &body["kinds"]["user"]["removed"], &body["unchanged"]), (&json!(2), &json!(1), &json!(7)));
    assert!(!primary.export().contains("eve"));
}

#[test]
fn an_inconsistent_file_changes_nothing_and_its_error_names_the_line() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    for (file, expected) in [
        (vec![user(3, "eve"), key(13, 9)], "line 2: user_id names user 9, which is not in the directory"),
        (vec![user(3, "ZOE")], "line 1: the username `zoe` stands in the directory already"),
        (vec![home(2, "bobx"), project(9, 1, "Zoe/P")], "line 2: the path `zoe/p` stands in the directory already"),
        (vec![user(3, "a"), user(3, "b")], "line 2: this user stands in line 1 already"),
        (vec![r#"{"kind":"user","id":3,"username":"a","name":"A","colour":1}"#.to_owned()], "line 1: unknown field `colour`"),
        (vec![r#"{"kind":"planet","id":3}"#.to_owned()], "line 1: unknown variant `planet`"),
    ] {
        let (status, body) = primary.apply("", &file);
        let message = body["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
    let (_, body) = primary.apply("?prune", &small_directory()[1..]);
    assert_eq!(body["message"], "line 4: storage names storage `default`, which is not in the directory");
    assert_eq!(primary.head(), head);
}

#[test]
fn a_file_is_checked_whatever_the_order_of_its_lines() {
    const USER: &str = r#"{"kind":"user","id":1,"username":"zoe","name":"Zoe"}"#;
    const SAME_NAME: &str = r#"{"kind":"user","id":2,"username":"ZOE","name":"Z"}"#;
    const BROADCAST: &str =
        r#"{"kind":"broadcast","id":1,"message":"m","starts_at":"2026-01-31T12:00:00Z","ends_at":"2026-02-01T12:00:00Z"}"#;
    const POLICY: &str = r#"{"kind":"scan_execution_policy","project_id":1,"name":"n","yaml":"a:\n","updated_at":"2026-01-31T12:00:00Z"}"#;
    const HOUSE: [&str; 3] = [
        r#"{"kind":"namespace","id":1,"type":"group","path":"g","name":"g"}"#,
        r#"{"kind":"project","id":1,"namespace_id":1,"path":"g/p","name":"p","relative_path":"p.git"}"#,
        r#"{"kind":"storage","name":"default","address":"unix:/run/gitaly"}"#,
    ];
    let coloured = BROADCAST.replace(r#""id""#, r#""colour":1,"id""#);
    let same_key = key(6, 1).replace(&public_key(6), &public_key(5));
    let grant = r#"{"kind":"deploy_grant","key_id":5,"project_id":1}"#;
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    for (file, begins, ends) in [
        (owned(&[USER, "", r#"{"kind":"user","id":2,"username":"b","name":"B","colour":1}"#]), "line 3: unknown field `colour`", ""),
        (owned(&[USER, USER]), "line 2: the username `zoe` stands in line 1 already", ""),
        (owned(&[USER, SAME_NAME]), "line 2: the username `ZOE` stands in line 1 already", ""),
        (owned(&[USER, &key(5, 1), &same_key]), "line 3: the key SHA256:", "stands in line 2 already"),
        (owned(&[&key(5, 9), USER]), "line 1: user_id names user 9, which is not in the directory", ""),
        (owned(&[USER, HOUSE[0], HOUSE[1], HOUSE[2], grant, &key(5, 1)]), "line 5: key_id names deploy key 5", ""),
        (owned(&[BROADCAST, USER, BROADCAST]), "line 3: this broadcast stands in line 1 already", ""),
        (owned(&[USER, POLICY]), "line 2: project_id names project 1, which is not in the directory", ""),
        (owned(&[USER, &coloured]), "line 2: unknown field `colour`", ""),
    ] {
        let primary = TestPrimary::with(&[]);
        let (status, body) = primary.apply("", &file);
        let message = body["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{message}");
        assert!(message.starts_with(begins) && message.ends_with(ends), "{message}");
        assert_eq!(primary.head().state.count, 0);
    }
    let primary = TestPrimary::with(&[]);
    let (status, body) = primary.apply("", &owned(&[&key(5, 1), BROADCAST, USER]));
    assert_eq!((status, &body["added"]), (StatusCode::OK, &json!(3)), "{body}");
}

#[test]
fn two_users_may_swap_their_names() {
    let primary = TestPrimary::with(&small_directory());
    let (status, body) = primary.apply("", &[user(1, "bob"), user(2, "zoe")]);
    assert_eq!((status, &body["changed"]), (StatusCode::OK, &json!(2)), "{body}");
}

#[test]
fn a_key_id_that_gets_another_key_leaves_nothing_of_the_old_one() {
    let primary = TestPrimary::with(&small_directory());
    let new = key(11, 1).replace(&public_key(11), &public_key(77));
    let (status, body) = primary.apply("", &[new]);
    assert_eq!((status, &body["added"], &body["removed"]), (StatusCode::OK, &json!(1), &json!(1)), "{body}");
    let export = primary.export();
    assert!(export.contains(&public_key(77)) && !export.contains(&public_key(11)));
    let renumbered = key(78, 1).replace(&public_key(78), &public_key(77));
    let whole: Vec<String> = primary.export().lines().filter(|line| !line.contains(&public_key(77))).map(str::to_owned).collect();
    let (_, body) = primary.apply("?prune", &[whole, vec![renumbered]].concat());
    assert_eq!((&body["changed"], &body["added"]), (&json!(1), &json!(0)));
    assert_eq!(primary.head().state.count, 7);
}

#[test]
fn a_key_does_not_change_its_owner_by_being_listed_under_another_id() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let stolen = key(78, 2).replace(&public_key(78), &public_key(11));
    let (status, body) = primary.apply("", std::slice::from_ref(&stolen));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("line 1: the key SHA256:"), "{message}");
    assert!(message.ends_with(" (key id 11) stands in the directory already"), "{message}");
    assert_eq!(primary.head(), head);
    let another = key(11, 1).replace(&public_key(11), &public_key(77));
    let (status, body) = primary.apply("", &[stolen, another]);
    assert_eq!(
        (status, &body["changed"], &body["added"]),
        (StatusCode::OK, &json!(1), &json!(1)),
        "listed in the file it is intended: {body}"
    );
}

#[test]
fn a_deploy_key_that_a_project_still_grants_cannot_become_a_users_key() {
    let deploy = key(13, 1).replace(r#""title""#, r#""deploy":true,"title""#).replace(r#""user_id":1,"#, "");
    let grant = r#"{"kind":"deploy_grant","key_id":13,"project_id":1}"#.to_owned();
    let mut lines = small_directory();
    lines.extend([deploy, grant]);
    let primary = TestPrimary::with(&lines);
    let (status, body) = primary.apply("", &[key(13, 1)]);
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let message = body["message"].as_str().unwrap();
    assert!(message.starts_with("this file takes away deploy key 13, which a deploy_grant that stays names in key_id"), "{message}");
}

fn crowd(keys: std::ops::RangeInclusive<u32>) -> Vec<String> {
    let mut lines = vec![storage(), user(1, "zoe"), home(1, "zoe")];
    lines.extend(keys.map(|id| key(id, 1)));
    lines
}

#[test]
fn a_large_file_replaces_the_directory_and_a_large_loss_needs_confirmation() {
    let primary = TestPrimary::empty();
    let (status, body) = primary.apply("", &crowd(1..=1500));
    assert_eq!((status, &body["how"], &body["kinds"]["key"]["added"]), (StatusCode::OK, &json!("replaced"), &json!(1500)), "{body}");
    let (status, body) = primary.apply("?prune", &crowd(1..=1000));
    assert_eq!(status, StatusCode::CONFLICT);
    let expected = "This file would remove 500 of 1500 records of the kind key. Nothing was applied; if it is meant, say --accept-loss.";
    assert_eq!(body["message"], expected);
    assert_eq!(primary.head().state.count, 1503);
    let (status, body) = primary.apply("?prune&accept_loss", &crowd(1..=1000));
    assert_eq!((status, &body["removed"]), (StatusCode::OK, &json!(500)), "{body}");
    assert_eq!(primary.head().state.count, 1003);
    let (_, status) = primary.admin(http::Method::GET, "status", serde_json::Value::Null);
    assert!(status["accept_loss_until"].is_string(), "the hosts are told that the loss is accepted: {status}");
    let (status, _) = primary.apply("?prune", &crowd(1..=900));
    assert_eq!(status, StatusCode::OK, "a tenth may go without a word");
}

#[test]
fn what_was_applied_is_there_after_a_restart() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let primary = primary.restart();
    assert_eq!(primary.head(), head);
    assert_eq!(primary.export().lines().count(), 7);
}
