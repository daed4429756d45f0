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
    let pending = &body["pending"][0];
    assert_eq!((&pending["connected"], &pending["instance"], &pending["max_stale"]), (&json!(true), &Value::Null, &json!(86_400)));
    assert!(pending["note"].as_str().unwrap().contains("older version"), "{pending}");
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
    let (status, revoked) = primary.admin(Method::POST, "revoke-key", json!({"id": 12}));
    assert_eq!(status, StatusCode::OK);
    let (_, body) = primary.shell(Method::GET, "internal/discover?key_id=12", Value::Null);
    assert_eq!(body, Value::Null);
    let (status, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 12}));
    assert_eq!((status, &body["message"], &body["head"]), (StatusCode::OK, &revoked["message"], &revoked["head"]), "revoked already");
    let (status, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 13}));
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
fn an_ack_of_a_state_that_only_the_journal_knows_is_checked_too() {
    let primary = TestPrimary::with(&small_directory());
    let before = primary.head();
    assert_eq!(primary.admin(Method::POST, "revoke-key", json!({"id": 12})).0, StatusCode::OK);
    // After a start only the journal has the commits of before.
    let primary = primary.restart();
    let wrong = Head { state: Default::default(), ..before };
    let (status, body) = primary.sync("ssh-1", Method::POST, "ack", ack(&wrong, "a"));
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    acks(&primary, "ssh-1", &before);
}

#[test]
fn a_host_with_a_state_that_never_was_shows_that_hosts_may_be_missing() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let target = format!("changes?epoch={}&after={}&digest={}&instance=i&max_stale=60", head.epoch, head.seq + 1, head.state.digest);
    assert_eq!(primary.sync("ssh-1", Method::GET, &target, Value::Null).0, StatusCode::CONFLICT);
    let (_, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 1}));
    assert!(body["missing_hosts"]["reason"].as_str().unwrap().contains("restore from a backup"), "{body}");
    assert_eq!((&body["pending"][0]["host"], &body["pending"][0]["max_stale"]), (&json!("ssh-1"), &json!(60)), "and it is known itself");
}

#[test]
fn a_host_says_its_store_and_its_bound_together_or_neither() {
    let primary = TestPrimary::with(&small_directory());
    let head = primary.head();
    let changes = |more: &str| {
        let target = format!("changes?epoch={}&after={}&digest={}{more}", head.epoch, head.seq, head.state.digest);
        primary.sync("ssh-1", Method::GET, &target, Value::Null)
    };
    for (more, message) in [
        ("&instance=i", "400 Bad request - max_stale is missing"),
        ("&max_stale=5", "400 Bad request - instance is missing"),
        ("&instance=&max_stale=5", "400 Bad request - instance is 1 to 64 printable characters"),
        ("&instance=a%20b&max_stale=5", "400 Bad request - instance is 1 to 64 printable characters"),
        ("&instance=i&max_stale=x", "400 Bad request - max_stale is a whole number"),
    ] {
        let (status, body) = changes(more);
        assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!(message)), "{more}");
    }
    let (status, body) = changes("&instance=i&max_stale=86401");
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body["message"].as_str().unwrap().contains("longer than the 86400 s that the primary allows"), "{body}");
}

#[test]
fn two_stores_under_one_name_raise_an_alarm_and_are_two_hosts() {
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
