//! The records of a directory file that no follower gets: scan policies, their configurations, broadcasts.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, home, project, small_directory, storage, user};

pub fn broadcast(id: u32, message: &str, more: &str) -> String {
    format!(
        r#"{{"kind":"broadcast","id":{id},"message":"{message}","starts_at":"2020-01-31T12:00:00.000Z","ends_at":"2120-02-01T12:00:00.000Z"{more}}}"#
    )
}

pub fn policy(project: u32, name: &str) -> String {
    format!(
        r#"{{"kind":"scan_execution_policy","project_id":{project},"name":"{name}","description":"d","yaml":"---\nname: x\n","updated_at":"2022-06-02T05:36:26.000Z"}}"#
    )
}

pub fn configuration(project: u32, cadence: &str) -> String {
    format!(
        r#"{{"kind":"policy_configuration","project_id":{project},"cadence":"{cadence}","namespaces":["a","b"],"updated_at":"2022-06-02T05:36:26.000Z"}}"#
    )
}

fn all_kinds() -> Vec<String> {
    vec![policy(1, "p"), configuration(1, "30 2 * * *"), broadcast(1, "m", "")]
}

fn whole() -> Vec<String> {
    [small_directory(), all_kinds()].concat()
}

#[test]
fn unpublished_records_are_applied_counted_and_exported_like_the_others_and_never_published() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let (status, body) = primary.apply("", &all_kinds());
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!((&body["how"], &body["added"]), (&json!("withheld"), &json!(3)));
    assert_eq!(primary.head(), head, "neither number nor digest moves");
    let (_, body) = primary.apply("", &whole());
    assert_eq!((&body["how"], &body["unchanged"], &body["added"]), (&json!("nothing"), &json!(10), &json!(0)));
    let (_, body) = primary.apply("", &[broadcast(1, "n", "")]);
    assert_eq!((&body["kinds"]["broadcast"]["changed"], &body["removed"]), (&json!(1), &json!(0)));

    let export = primary.export();
    assert!(export.ends_with(&format!("{}\n{}\n{}\n", policy(1, "p"), configuration(1, "30 2 * * *"), broadcast(1, "n", ""))), "{export}");
    let (_, body) = primary.apply("?prune", &[export]);
    assert_eq!((&body["how"], &body["removed"]), (&json!("nothing"), &json!(0)));

    let (status, _, snapshot) = primary.send(primary.sync_request("ssh-1", Method::GET, "snapshot", Value::Null));
    assert_eq!(status, StatusCode::OK);
    let snapshot = String::from_utf8(zstd::decode_all(&snapshot[..]).unwrap()).unwrap();
    assert!(snapshot.contains(r#""kind":"project""#) && !snapshot.contains("broadcast") && !snapshot.contains("polic"), "{snapshot}");

    let (_, body) = primary.apply("?prune", &small_directory());
    assert_eq!((&body["removed"], &body["kinds"]["policy_configuration"]["removed"]), (&json!(3), &json!(1)));
    assert_eq!(primary.export().lines().count(), 7);
}

#[test]
fn both_kinds_of_records_of_a_file_are_applied_or_neither() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    for (file, expected) in [
        (vec![user(3, "eve"), policy(9, "p")], "line 2: project_id names project 9, which is not in the directory"),
        (vec![broadcast(1, "a", ""), user(3, "ZOE")], "line 2: the username `zoe` stands in the directory already"),
        (vec![broadcast(1, "a", ""), user(3, "eve"), broadcast(1, "b", "")], "line 3: this broadcast stands in line 1 already"),
        (vec![user(3, "eve"), broadcast(1, "a", r#","colour":1"#)], "line 2: unknown field `colour`"),
        (vec![user(3, "eve"), broadcast(1, r"a\nb", "")], "line 2: text with the control byte 0x0a"),
    ] {
        let (status, body) = primary.apply("", &file);
        let message = body["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{message}");
        assert!(message.starts_with(expected), "{message}");
        assert_eq!((primary.head(), primary.stored("withheld_records")), (head, json!(0)));
    }
    let (status, body) = primary.apply("", &[home(2, "bob"), project(9, 2, "bob/p"), policy(9, "p")]);
    assert_eq!((status, &body["how"]), (StatusCode::OK, &json!("commit")), "{body}");
    let gone = [storage(), user(1, "zoe"), home(1, "zoe"), project(1, 1, "zoe/p"), policy(9, "p")];
    let (_, body) = primary.apply("?prune", &gone);
    assert_eq!(body["message"], "line 5: project_id names project 9, which is not in the directory");
    let primary = primary.restart();
    assert_eq!(primary.stored("withheld_records"), 1);
}

#[test]
fn a_large_loss_of_unpublished_records_needs_confirmation_too() {
    let crowd = |count| [small_directory(), (1..=count).map(|id| broadcast(id, "m", "")).collect()].concat();
    let primary = TestPrimary::with(&crowd(300));
    let (status, body) = primary.apply("?prune", &crowd(100));
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["message"].as_str().unwrap().starts_with("This file would remove 200 of 300 records of the kind broadcast."), "{body}");
    let (status, body) = primary.apply("?prune&accept_loss", &crowd(100));
    assert_eq!((status, &body["removed"]), (StatusCode::OK, &json!(200)));
}

#[test]
fn a_file_of_both_kinds_that_replaces_the_directory_applies_both() {
    let primary = TestPrimary::empty();
    let many = (1..=1200).map(|id| user(id, &format!("u{id}"))).chain([broadcast(1, "m", "")]).collect::<Vec<_>>();
    let (status, body) = primary.apply("", &many);
    assert_eq!((status, &body["how"], &body["added"]), (StatusCode::OK, &json!("replaced"), &json!(1201)));
    let primary = primary.restart();
    assert_eq!(primary.stored("withheld_records"), 1);
    assert_eq!(primary.head().state.count, 1200);
}
