//! What else the operator asks.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Trial, key, small};
use crate::net::body::OutgoingBody;

#[tokio::test]
async fn the_status_says_where_the_primary_stands_and_what_it_holds() {
    let trial = Trial::with(&small()).await;
    let (status, body) = trial.admin(Method::GET, "status", Value::Null).await;
    let head = trial.house.store.head();
    assert_eq!((status, &body["head"]["seq"], &body["records"]["user"]), (StatusCode::OK, &json!(head.seq), &json!(2)));
    assert_eq!(body["accept_loss_until"], Value::Null);
}

#[tokio::test]
async fn an_explanation_says_the_word_of_the_rule_and_the_facts() {
    let mut lines = small();
    lines.push(key(13, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    let trial = Trial::with(&lines).await;
    let explain = |query: &'static str| trial.admin(Method::GET, query, Value::Null);
    let (_, body) = explain("explain?key_id=11&project=zoe/p&action=push").await;
    assert_eq!((&body["allowed"]["decision"]["verdict"], &body["allowed"]["decision"]["role"]), (&json!("granted"), &json!(50)));
    assert_eq!((&body["actor"]["user"]["username"], &body["authorized_keys"]["answer"]), (&json!("zoe"), &json!("yes")));
    let (_, body) = explain("explain?username=bob&project=zoe/p").await;
    assert_eq!((&body["allowed"]["decision"]["verdict"], &body["allowed"]["decision"]["status"]), (&json!("refused"), &json!(404)));
    assert!(body["allowed"]["decision"]["reason"].is_string());
    let (_, body) = explain("explain?key_id=13").await;
    assert_eq!((&body["authorized_keys"]["reason"], &body["actor"]["kind"]), (&json!("signing_only"), &json!("nobody")));
    assert_eq!(explain("explain?key_id=99").await.0, StatusCode::NOT_FOUND);
    assert_eq!(explain("explain?key_id=11&username=bob").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_key_and_no_secret_is_in_the_metrics() {
    let trial = Trial::with(&small()).await;
    trial.shell(Method::GET, "internal/discover?key_id=11", Value::Null).await;
    let (_, _, body) = trial.send(super::request(Method::GET, "/-/metrics").body(OutgoingBody::from_bytes("")).unwrap()).await;
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains(r#"sidegate_primary_answers_total{endpoint="internal/discover",status="200"} 1"#), "{text}");
    assert!(!text.contains("AAAA") && !text.contains(super::SHELL), "{text}");
}

#[tokio::test]
async fn a_wait_beyond_its_bound_and_a_parameter_that_is_missing_are_refused_before_anything_is_done() {
    let trial = Trial::with(&small()).await;
    let (status, body) = trial.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 601})).await;
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - wait is at most 600 seconds")));
    let (status, body) = trial.admin(Method::POST, "block-user", json!({})).await;
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - username is missing")));
    assert!(trial.export().await.contains(r#""id":11"#));
}
