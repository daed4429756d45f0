//! A key is revoked and an account blocked: where it binds, and until when it may not.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::feed::Lines;
use super::{Trial, small};
use crate::model::change::Head;
use crate::model::clock;

fn ack(head: &Head, instance: &str) -> Value {
    json!({"epoch": head.epoch, "seq": head.seq, "digest": head.state.digest, "max_stale": 3600, "instance": instance})
}

async fn acks(trial: &Trial, host: &str, head: &Head) {
    assert_eq!(trial.sync(host, Method::POST, "ack", ack(head, host)).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn waiting_ends_when_every_connected_host_has_said_that_it_binds() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    acks(&trial, "away", &head).await;
    let mut lines = Lines::open(&trial, "here", &head).await;
    acks(&trial, "here", &head).await;
    let follower = async {
        let commit = lines.commit().await;
        acks(&trial, "here", &Head { seq: commit.seq, state: commit.state, ..head }).await;
    };
    let revoke = trial.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 600}));
    let ((status, body), ()) = tokio::join!(revoke, follower);
    assert_eq!((status, &body["in_force"]), (StatusCode::OK, &json!(["here"])), "{body}");
    let away = &body["pending"][0];
    assert_eq!((&away["host"], &away["connected"]), (&json!("away"), &json!(false)));
    let until: crate::model::time::Time = away["until"].as_str().unwrap().parse().unwrap();
    assert!(until > clock::wall_time(), "it may let the key in for as long as it may go on without us");
    assert!(body["revoked"]["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
}

#[tokio::test]
async fn waiting_ends_when_time_is_up_or_the_host_goes_away() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    let lines = Lines::open(&trial, "here", &head).await;
    let (_, body) = trial.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 1})).await;
    assert_eq!((&body["pending"][0]["connected"], &body["pending"][0]["until"]), (&json!(true), &Value::Null));
    let leaves = async { drop(lines) };
    let block = trial.admin(Method::POST, "block-user", json!({"username": "zoe", "wait": 600}));
    let ((_, body), ()) = tokio::join!(block, leaves);
    assert_eq!(body["pending"][0]["connected"], json!(false), "{body}");
}

#[tokio::test]
async fn a_revoked_key_is_not_found_and_a_blocked_account_is_told() {
    let trial = Trial::with(&small()).await;
    assert_eq!(trial.admin(Method::POST, "revoke-key", json!({"id": 12})).await.0, StatusCode::OK);
    let (_, body) = trial.shell(Method::GET, "internal/discover?key_id=12", Value::Null).await;
    assert_eq!(body, Value::Null);
    let (status, body) = trial.admin(Method::POST, "revoke-key", json!({"id": 12})).await;
    assert_eq!((status, &body["message"]), (StatusCode::NOT_FOUND, &json!("404 Key Not Found")));
    let (_, body) = trial.admin(Method::POST, "block-user", json!({"username": "Zoe"})).await;
    assert_eq!((&body["blocked"]["username"], &body["blocked"]["before"]), (&json!("zoe"), &json!("active")));
    let question = json!({"key_id": 11, "project": "zoe/p", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let (status, body) = trial.shell(Method::POST, "internal/allowed", question).await;
    assert_eq!((status, &body["message"]), (StatusCode::UNAUTHORIZED, &json!("Your account has been blocked.")));
    let seq = trial.house.store.head().seq;
    assert_eq!(trial.admin(Method::POST, "block-user", json!({"username": "zoe"})).await.0, StatusCode::OK);
    assert_eq!(trial.house.store.head().seq, seq, "blocked already: nothing is committed");
}

#[tokio::test]
async fn a_deploy_key_goes_with_what_it_was_granted() {
    let mut lines = small();
    lines.push(super::key(13, 1).replace(r#""title""#, r#""deploy":true,"title""#));
    lines.push(r#"{"kind":"deploy_grant","key_id":13,"project_id":1}"#.to_owned());
    let trial = Trial::with(&lines).await;
    assert_eq!(trial.admin(Method::POST, "revoke-key", json!({"id": 13})).await.0, StatusCode::OK);
    assert!(!trial.export().await.contains("deploy"));
}

#[tokio::test]
async fn a_host_that_holds_what_we_never_had_is_told_and_not_believed() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    for wrong in [Head { seq: head.seq + 1, ..head }, Head { state: Default::default(), ..head }] {
        let (status, body) = trial.sync("ssh-1", Method::POST, "ack", ack(&wrong, "a")).await;
        assert_eq!((status, &body["seq"]), (StatusCode::CONFLICT, &json!(head.seq)));
    }
    let (_, body) = trial.admin(Method::GET, "hosts", Value::Null).await;
    assert_eq!(body["hosts"], json!([]));
}

#[tokio::test]
async fn two_stores_under_one_name_are_shown_and_never_in_force() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    for instance in ["a", "b", "a"] {
        assert_eq!(trial.sync("ssh-1", Method::POST, "ack", ack(&head, instance)).await.0, StatusCode::NO_CONTENT);
    }
    let (_, body) = trial.admin(Method::GET, "hosts", Value::Null).await;
    assert_eq!(body["hosts"][0]["host"], "ssh-1");
    assert!(body["hosts"][0]["alarm"].as_str().unwrap().starts_with("two hosts use this name"));
    let (_, body) = trial.admin(Method::POST, "block-user", json!({"username": "bob"})).await;
    assert!(body["pending"][0]["note"].as_str().unwrap().starts_with("two hosts use this name"));
}

#[tokio::test]
async fn hosts_are_remembered_until_they_are_forgotten_and_a_connected_one_is_not() {
    let trial = Trial::with(&small()).await;
    let head = trial.house.store.head();
    acks(&trial, "ssh-1", &head).await;
    let trial = trial.again();
    let lines = Lines::open(&trial, "ssh-2", &head).await;
    let (_, body) = trial.admin(Method::GET, "hosts", Value::Null).await;
    assert_eq!((&body["hosts"][0]["acked"]["seq"], &body["hosts"][0]["lag"]), (&json!(head.seq), &json!(0)));
    assert_eq!((&body["hosts"][1]["host"], &body["hosts"][1]["connected"]), (&json!("ssh-2"), &json!(true)));
    let forget = |host: &'static str| trial.admin(Method::POST, "forget-host", json!({"host": host}));
    assert_eq!(forget("ssh-2").await.0, StatusCode::CONFLICT);
    assert_eq!(forget("ssh-1").await.0, StatusCode::OK);
    assert_eq!(forget("ssh-1").await.0, StatusCode::NOT_FOUND);
    drop(lines);
    let trial = trial.again();
    let (_, body) = trial.admin(Method::GET, "hosts", Value::Null).await;
    assert!(!body["hosts"].to_string().contains("ssh-1"), "{body}");
}
