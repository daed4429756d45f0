//! Error tracking: with its own token, whether a client key counts. (cases.md Q)

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, request, small_directory};
use crate::support::contract_directory::ERROR_TRACKING_TOKEN;

fn lines() -> Vec<String> {
    let key = |name: &str, more: &str| format!(r#"{{"kind":"error_tracking_key","project_id":1,"public_key":"{name}"{more}}}"#);
    [small_directory(), vec![key("on", ""), key("off", r#","active":false"#)]].concat()
}

fn call(primary: &TestPrimary, token: Option<&str>, body: &Value) -> (StatusCode, Value) {
    let request = request(Method::POST, "/api/v4/internal/error_tracking/allowed");
    let request = token.into_iter().fold(request, |request, token| request.header("gitlab-error-tracking-token", token));
    let (status, _, body) = primary.send(request.body(body.to_string()));
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn q01_nobody_is_answered_without_the_token() {
    let primary = TestPrimary::with(&lines());
    let question = json!({"project_id": 1, "public_key": "on"});
    let unauthorized = (StatusCode::UNAUTHORIZED, json!({"message": "401 Unauthorized"}));
    assert_eq!(call(&primary, None, &question), unauthorized);
    assert_eq!(call(&primary, Some("wrong"), &question), unauthorized);
    assert_eq!(call(&primary, None, &json!({})), unauthorized, "the token is judged first");
    assert_eq!(primary.shell(Method::POST, "internal/error_tracking/allowed", question.clone()), unauthorized);
    let by_parameter = |token: &str| json!({"project_id": 1, "public_key": "on", "error_tracking_token": token});
    assert_eq!(call(&primary, None, &by_parameter(ERROR_TRACKING_TOKEN)).0, StatusCode::OK);
    assert_eq!(call(&primary, Some(ERROR_TRACKING_TOKEN), &by_parameter("wrong")), unauthorized, "the parameter goes before the header");
    let primary = primary.restart_without("error_tracking_token_file");
    assert_eq!(call(&primary, Some(ERROR_TRACKING_TOKEN), &question), unauthorized, "no token is set");
    assert_eq!(call(&primary, Some(""), &question), unauthorized);
}

#[test]
fn q04_an_unknown_project_is_404_and_a_missing_parameter_422() {
    let primary = TestPrimary::with(&lines());
    for unknown in [json!(99), json!("0"), json!("zoe/p")] {
        let answer = call(&primary, Some(ERROR_TRACKING_TOKEN), &json!({"project_id": unknown, "public_key": "on"}));
        assert_eq!(answer, (StatusCode::NOT_FOUND, json!({"message": "404 Not found"})));
    }
    for blank in [json!({"project_id": 1}), json!({"public_key": "on"}), json!({"project_id": 1, "public_key": ""})] {
        let answer = call(&primary, Some(ERROR_TRACKING_TOKEN), &blank);
        assert_eq!(answer, (StatusCode::UNPROCESSABLE_ENTITY, json!({"message": "422 Unprocessable Entity"})));
    }
}

#[test]
fn q05_to_q07_a_key_is_enabled_if_it_is_active_and_tracking_is_on() {
    let primary = TestPrimary::with(&lines());
    for (key, enabled) in [("on", true), ("off", false), ("unknown", false)] {
        let answer = call(&primary, Some(ERROR_TRACKING_TOKEN), &json!({"project_id": "1", "public_key": key}));
        assert_eq!(answer, (StatusCode::OK, json!({"enabled": enabled})), "{key}");
    }
    primary.apply("", &[r#"{"kind":"settings","error_tracking":false}"#.to_owned()]);
    let answer = call(&primary, Some(ERROR_TRACKING_TOKEN), &json!({"project_id": 1, "public_key": "on"}));
    assert_eq!(answer, (StatusCode::OK, json!({"enabled": false})));
}
