//! The operator's status, explanations and metrics.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, key, request, small_directory};

#[test]
fn the_status_shows_the_head_and_the_counts_of_records() {
    let primary = TestPrimary::with(&small_directory());
    let (status, body) = primary.admin(Method::GET, "status", Value::Null);
    let head = primary.head();
    assert_eq!((status, &body["head"]["seq"], &body["records"]["user"]), (StatusCode::OK, &json!(head.seq), &json!(2)));
    assert_eq!(body["accept_loss_until"], Value::Null);
}

#[test]
fn an_explanation_names_the_rule_and_the_facts() {
    let mut lines = small_directory();
    lines.push(key(13, 1).replace(r#""created_at""#, r#""usage":"signing","created_at""#));
    let primary = TestPrimary::with(&lines);
    let explain = |query: &'static str| primary.admin(Method::GET, query, Value::Null);
    let (_, body) = explain("explain?key_id=11&project=zoe/p&action=push");
    assert_eq!((&body["allowed"]["decision"]["verdict"], &body["allowed"]["decision"]["role"]), (&json!("granted"), &json!(50)));
    assert_eq!((&body["actor"]["user"]["username"], &body["authorized_keys"]["answer"]), (&json!("zoe"), &json!("yes")));
    let (_, body) = explain("explain?username=bob&project=zoe/p");
    assert_eq!((&body["allowed"]["decision"]["verdict"], &body["allowed"]["decision"]["status"]), (&json!("refused"), &json!(404)));
    assert!(body["allowed"]["decision"]["reason"].is_string());
    let (_, body) = explain("explain?key_id=13");
    assert_eq!((&body["authorized_keys"]["reason"], &body["actor"]["kind"]), (&json!("signing_only"), &json!("nobody")));
    assert_eq!(explain("explain?key_id=99").0, StatusCode::NOT_FOUND);
    assert_eq!(explain("explain?key_id=11&username=bob").0, StatusCode::BAD_REQUEST);
}

#[test]
fn no_key_and_no_secret_is_in_the_metrics() {
    let primary = TestPrimary::with(&small_directory());
    primary.shell(Method::GET, "internal/discover?key_id=11", Value::Null);
    let (_, _, body) = primary.send(request(Method::GET, "/-/metrics"));
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains(r#"sidegate_answers_total{endpoint="discover",source="none",outcome="success"} 1"#), "{text}");
    assert!(!text.contains("AAAA") && !text.contains(primary.0.shared_secret()), "{text}");
}

#[test]
fn a_wait_that_is_too_long_and_a_missing_parameter_are_refused_before_anything_is_done() {
    let primary = TestPrimary::with(&small_directory());
    let (status, body) = primary.admin(Method::POST, "revoke-key", json!({"id": 11, "wait": 601}));
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - wait is at most 600 seconds")));
    let (status, body) = primary.admin(Method::POST, "block-user", json!({}));
    assert_eq!((status, &body["message"]), (StatusCode::BAD_REQUEST, &json!("400 Bad request - username is missing")));
    assert!(primary.export().contains(r#""id":11"#));
}
