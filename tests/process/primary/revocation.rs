//! Revoked keys and blocked users: where that is in force, and until when a host may still accept them.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use sidegate::model::change::Head;
use sidegate::model::clock;

use super::feed::FeedStream;
use super::{TestPrimary, small_directory};

fn ack(head: &Head, instance: &str) -> Value {
    json!({"epoch": head.epoch, "seq": head.seq, "digest": head.state.digest, "max_stale": 3600, "instance": instance})
}

fn acks(primary: &TestPrimary, host: &str, head: &Head) {
    assert_eq!(primary.sync(host, Method::POST, "ack", ack(head, host)).0, StatusCode::NO_CONTENT);
}

#[test]
fn waiting_ends_when_every_connected_host_has_acknowledged_the_commit() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    acks(&primary, "away", &head);
    let mut lines = FeedStream::open(&primary, "here", &head);
    acks(&primary, "here", &head);
    let (status, body) = std::thread::scope(|scope| {
        let revocation = scope.spawn(|| primary.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 600})));
        let commit = lines.commit();
        acks(&primary, "here", &Head { seq: commit.seq, state: commit.state, ..head });
        revocation.join().unwrap()
    });
    assert_eq!((status, &body["in_force"]), (StatusCode::OK, &json!(["here"])), "{body}");
    let away = &body["pending"][0];
    assert_eq!((&away["host"], &away["connected"]), (&json!("away"), &json!(false)));
    let until: sidegate::model::time::Time = away["until"].as_str().unwrap().parse().unwrap();
    assert!(until > clock::wall_time(), "it may let the key in for as long as it may go on without us");
    assert!(body["revoked"]["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
}

#[test]
fn waiting_ends_when_the_time_is_over_or_the_host_disconnects() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let lines = FeedStream::open(&primary, "here", &head);
    let (_, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 1}));
    assert_eq!((&body["pending"][0]["connected"], &body["pending"][0]["until"]), (&json!(true), &Value::Null));
    let (_, body) = std::thread::scope(|scope| {
        let block = scope.spawn(|| primary.admin(Method::POST, "block-user", json!({"username": "zoe", "wait": 600})));
        drop(lines);
        block.join().unwrap()
    });
    assert_eq!(body["pending"][0]["connected"], json!(false), "{body}");
}

#[test]
fn a_revoked_key_is_not_found_and_a_blocked_user_is_told_so() {
    let primary = TestPrimary::with(&small_directory());
    assert_eq!(primary.admin(Method::POST, "revoke-key", json!({"id": 12})).0, StatusCode::OK);
    let (_, body) = primary.shell(Method::GET, "internal/discover?key_id=12", Value::Null);
    assert_eq!(body, Value::Null);
    let (status, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 12}));
    assert_eq!((status, &body["message"]), (StatusCode::NOT_FOUND, &json!("404 Key Not Found")));
    let (_, body) = primary.admin(Method::POST, "block-user", json!({"username": "Zoe"}));
    assert_eq!((&body["blocked"]["username"], &body["blocked"]["before"]), (&json!("zoe"), &json!("active")));
    let question = json!({"key_id": 11, "project": "zoe/p", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let (status, body) = primary.shell(Method::POST, "internal/allowed", question);
    assert_eq!((status, &body["message"]), (StatusCode::UNAUTHORIZED, &json!("Your account has been blocked.")));
    let seq = primary.head().seq;
    assert_eq!(primary.admin(Method::POST, "block-user", json!({"username": "zoe"})).0, StatusCode::OK);
    assert_eq!(primary.head().seq, seq, "blocked already: nothing is committed");
}

#[test]
fn a_deploy_key_is_revoked_with_its_grants() {
    let mut lines = small_directory();
    lines.push(super::key(13, 1).replace(r#""title""#, r#""deploy":true,"title""#));
    lines.push(r#"{"kind":"deploy_grant","key_id":13,"project_id":1}"#.to_owned());
    let primary = TestPrimary::with(&lines);
    assert_eq!(primary.admin(Method::POST, "revoke-key", json!({"id": 13})).0, StatusCode::OK);
    assert!(!primary.export().contains("deploy"));
}

#[test]
fn an_ack_of_a_state_that_never_was_is_a_conflict_and_is_not_recorded() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    for wrong in [Head { seq: head.seq + 1, ..head }, Head { state: Default::default(), ..head }] {
        let (status, body) = primary.sync("ssh-1", Method::POST, "ack", ack(&wrong, "a"));
        assert_eq!((status, &body["seq"]), (StatusCode::CONFLICT, &json!(head.seq)));
    }
    let (_, body) = primary.admin(Method::GET, "hosts", Value::Null);
    assert_eq!(body["hosts"], json!([]));
}

#[test]
fn two_stores_under_one_name_raise_an_alarm_and_are_never_in_force() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    for instance in ["a", "b", "a"] {
        assert_eq!(primary.sync("ssh-1", Method::POST, "ack", ack(&head, instance)).0, StatusCode::NO_CONTENT);
    }
    let (_, body) = primary.admin(Method::GET, "hosts", Value::Null);
    assert_eq!(body["hosts"][0]["host"], "ssh-1");
    assert!(body["hosts"][0]["alarm"].as_str().unwrap().starts_with("two hosts use this name"));
    let (_, body) = primary.admin(Method::POST, "block-user", json!({"username": "bob"}));
    assert!(body["pending"][0]["note"].as_str().unwrap().starts_with("two hosts use this name"));
}

#[test]
fn hosts_are_remembered_until_they_are_forgotten_and_a_connected_one_is_not() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    acks(&primary, "ssh-1", &head);
    let primary = primary.restart();
    let lines = FeedStream::open(&primary, "ssh-2", &head);
    let (_, body) = primary.admin(Method::GET, "hosts", Value::Null);
    assert_eq!((&body["hosts"][0]["acked"]["seq"], &body["hosts"][0]["lag"]), (&json!(head.seq), &json!(0)));
    assert_eq!((&body["hosts"][1]["host"], &body["hosts"][1]["connected"]), (&json!("ssh-2"), &json!(true)));
    let forget = |host: &'static str| primary.admin(Method::POST, "forget-host", json!({"host": host}));
    assert_eq!(forget("ssh-2").0, StatusCode::CONFLICT);
    assert_eq!(forget("ssh-1").0, StatusCode::OK);
    assert_eq!(forget("ssh-1").0, StatusCode::NOT_FOUND);
    drop(lines);
    let primary = primary.restart();
    let (_, body) = primary.admin(Method::GET, "hosts", Value::Null);
    assert!(!body["hosts"].to_string().contains("ssh-1"), "{body}");
}
