//! What a caller without a token is told, and one that asks for something unknown.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{TestPrimary, request};

#[test]
fn without_a_token_the_answer_is_401_without_a_reason() {
    let primary = TestPrimary::empty();
    let (status, _, body) = primary.send(request(Method::GET, "/api/v4/internal/check"));
    assert_eq!((status, &body[..]), (StatusCode::UNAUTHORIZED, &br#"{"message":"401 Unauthorized"}"#[..]));
    let (status, body) = primary.shell(Method::GET, "internal/check", Value::Null);
    assert_eq!((status, &body["api_version"], &body["redis"]), (StatusCode::OK, &json!("v4"), &json!(true)));
}

#[test]
fn an_unknown_path_and_a_wrong_method_say_so() {
    let primary = TestPrimary::empty();
    let (status, body) = primary.shell(Method::GET, "internal/nothing", Value::Null);
    assert_eq!((status, &body["message"], &body["error"]), (StatusCode::NOT_FOUND, &json!("404 Not Found"), &json!("404 Not Found")));
    let (status, headers, body) = primary.send(primary.shell_request(Method::DELETE, "internal/check", Value::Null));
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET"));
    assert_eq!(&body[..], br#"{"message":"405 Method Not Allowed - this path takes GET"}"#);
}
