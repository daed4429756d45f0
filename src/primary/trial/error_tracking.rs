//! Error tracking: with its own token, whether a client key counts. (cases.md Q)

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ERROR_TRACKING, Trial, request, small};
use crate::net::body::OutgoingBody;

fn lines() -> Vec<String> {
    let key = |name: &str, more: &str| format!(r#"{{"kind":"error_tracking_key","project_id":1,"public_key":"{name}"{more}}}"#);
    [small(), vec![key("on", ""), key("off", r#","active":false"#)]].concat()
}

async fn ask(trial: &Trial, token: Option<&str>, body: &Value) -> (StatusCode, Value) {
    let request = request(Method::POST, "/api/v4/internal/error_tracking/allowed");
    let request = token.into_iter().fold(request, |request, token| request.header("gitlab-error-tracking-token", token));
    let (status, _, body) = trial.send(request.body(OutgoingBody::from_bytes(body.to_string())).unwrap()).await;
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn q01_without_its_token_nobody_is_answered() {
    let trial = Trial::with(&lines()).await;
    let question = json!({"project_id": 1, "public_key": "on"});
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"}));
    assert_eq!(ask(&trial, None, &question).await, unauthorized);
    assert_eq!(ask(&trial, Some("wrong"), &question).await, unauthorized);
    assert_eq!(ask(&trial, None, &json!({})).await, unauthorized, "the token is judged first");
    assert_eq!(trial.shell(Method::POST, "internal/error_tracking/allowed", question.clone()).await, unauthorized);
    let by_parameter = |token: &str| json!({"project_id": 1, "public_key": "on", "error_tracking_token": token});
    assert_eq!(ask(&trial, None, &by_parameter(ERROR_TRACKING)).await.0, StatusCode::OK);
    assert_eq!(ask(&trial, Some(ERROR_TRACKING), &by_parameter("wrong")).await, unauthorized, "the parameter goes before the header");
    trial.house.rotate_error_tracking_token(None);
    assert_eq!(ask(&trial, Some(ERROR_TRACKING), &question).await, unauthorized, "no token is set");
    assert_eq!(ask(&trial, Some(""), &question).await, unauthorized);
}

#[tokio::test]
async fn q04_a_project_that_is_not_there_is_404_and_a_question_without_one_422() {
    let trial = Trial::with(&lines()).await;
    for unknown in [json!(99), json!("0"), json!("zoe/p")] {
        let answer = ask(&trial, Some(ERROR_TRACKING), &json!({"project_id": unknown, "public_key": "on"})).await;
        assert_eq!(answer, (StatusCode::NOT_FOUND, json!({"message": "404 Not found"})));
    }
    for blank in [json!({"project_id": 1}), json!({"public_key": "on"}), json!({"project_id": 1, "public_key": ""})] {
        let answer = ask(&trial, Some(ERROR_TRACKING), &blank).await;
        assert_eq!(answer, (StatusCode::UNPROCESSABLE_ENTITY, json!({"message": "422 Unprocessable Entity"})));
    }
}

#[tokio::test]
async fn q05_to_q07_a_key_counts_if_it_is_active_and_tracking_is_on() {
    let trial = Trial::with(&lines()).await;
    for (key, enabled) in [("on", true), ("off", false), ("unknown", false)] {
        let answer = ask(&trial, Some(ERROR_TRACKING), &json!({"project_id": "1", "public_key": key})).await;
        assert_eq!(answer, (StatusCode::OK, json!({"enabled": enabled})), "{key}");
    }
    trial.apply("", &[r#"{"kind":"settings","error_tracking":false}"#.to_owned()]).await;
    let answer = ask(&trial, Some(ERROR_TRACKING), &json!({"project_id": 1, "public_key": "on"})).await;
    assert_eq!(answer, (StatusCode::OK, json!({"enabled": false})));
}
