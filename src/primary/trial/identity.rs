//! Who is let in, and in which order a request is looked at.

use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{SHELL, Trial, own_uid, request, small};
use crate::net::body::OutgoingBody;
use crate::net::peer::Peer;

const TCP: &str = "127.0.0.1:1000";

fn over_tcp() -> Peer {
    Peer::Tcp(TCP.parse().unwrap())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn without_a_token_the_answer_is_401_and_says_no_more() {
    let trial = Trial::empty();
    let (status, _, body) = trial.send(request(Method::GET, "/api/v4/internal/check").body(OutgoingBody::from_bytes("")).unwrap()).await;
    assert_eq!((status, &body[..]), (StatusCode::UNAUTHORIZED, &br#"{"message":"401 Unauthorized"}"#[..]));
    let (status, body) = trial.shell(Method::GET, "internal/check", Value::Null).await;
    assert_eq!((status, &body["api_version"], &body["redis"]), (StatusCode::OK, &json!("v4"), &json!(true)));
}

#[tokio::test]
async fn the_shared_secret_counts_on_the_unix_socket_only_as_a_header_or_a_parameter() {
    let trial = Trial::with(&small()).await;
    let local = Peer::Unix { uid: 4321, gid: 4321 };
    let by_header = || Request::get("/api/v4/internal/check").header("gitlab-shared-secret", base64(SHELL)).body("").unwrap();
    assert_eq!(trial.status_from(local, by_header()).await, StatusCode::OK);
    assert_eq!(trial.status_from(over_tcp(), by_header()).await, StatusCode::UNAUTHORIZED);
    let by_parameter = |body| Request::post("/api/v4/internal/allowed").header("content-type", "application/json").body(body).unwrap();
    let good = r#"{"secret_token":"a secret of the shell","key_id":"11","project":"zoe/p","action":"git-upload-pack","protocol":"ssh","changes":"_any"}"#;
    assert_eq!(trial.status_from(local, by_parameter(good)).await, StatusCode::OK);
    assert_eq!(trial.status_from(over_tcp(), by_parameter(good)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(trial.status_from(local, by_parameter(r#"{"secret_token":"another","key_id":"11"}"#)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_path_is_looked_at_first_then_the_token_then_the_parameters() {
    let trial = Trial::empty();
    let local = Peer::Unix { uid: 4321, gid: 4321 };
    let ask = |target: &'static str| Request::post(target).header("content-type", "application/json").body("{unreadable").unwrap();
    assert_eq!(trial.status_from(local, ask("/api/v4/internal/../allowed")).await, StatusCode::BAD_REQUEST);
    assert_eq!(trial.status_from(local, ask("/api/v4/internal/nothing")).await, StatusCode::NOT_FOUND);
    assert_eq!(trial.status_from(local, ask("/api/v4/internal/check")).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(trial.status_from(local, ask("/api/v4/internal/allowed")).await, StatusCode::UNAUTHORIZED);
    let unreadable = trial.shell_request(Method::POST, "internal/allowed", Value::String("x".to_owned()));
    assert_eq!(trial.send(unreadable).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_say_so() {
    let trial = Trial::empty();
    let (status, body) = trial.shell(Method::GET, "internal/nothing", Value::Null).await;
    assert_eq!((status, &body["message"], &body["error"]), (StatusCode::NOT_FOUND, &json!("404 Not Found"), &json!("404 Not Found")));
    let (status, headers, body) = trial.send(trial.shell_request(Method::DELETE, "internal/check", Value::Null)).await;
    assert_eq!((status, headers["allow"].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET"));
    assert_eq!(&body[..], br#"{"message":"405 Method Not Allowed - this path takes GET"}"#);
}

#[tokio::test]
async fn the_operator_is_root_or_our_own_user_on_the_socket_itself() {
    let trial = Trial::empty();
    let status = |peer, forwarded: bool| {
        let mut ask = Request::get("/-/admin/status");
        if forwarded {
            ask = ask.header("x-sidegate-forwarded", "ssh-1");
        }
        trial.status_from(peer, ask.body("").unwrap())
    };
    for uid in [0, own_uid()] {
        assert_eq!(status(Peer::Unix { uid, gid: 1 }, false).await, StatusCode::OK);
        assert_eq!(status(Peer::Unix { uid, gid: 1 }, true).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(status(Peer::Unix { uid: 4321, gid: 0 }, false).await, StatusCode::FORBIDDEN);
    assert_eq!(status(over_tcp(), false).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_metrics_are_for_the_operator_and_health_for_everybody() {
    let trial = Trial::empty();
    let ask = |target: &'static str| Request::get(target).body("").unwrap();
    let other = Peer::Unix { uid: 4321, gid: 4321 };
    assert_eq!(trial.status_from(other, ask("/-/metrics")).await, StatusCode::FORBIDDEN);
    assert_eq!(trial.status_from(Peer::Unix { uid: 0, gid: 0 }, ask("/-/metrics")).await, StatusCode::OK);
    assert_eq!(trial.status_from(other, ask("/-/liveness")).await, StatusCode::OK);
    assert_eq!(trial.status_from(over_tcp(), ask("/-/readiness")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_that_is_renewed_counts_at_once_and_the_one_before_still_does() {
    let trial = Trial::empty();
    trial.house.rotate_shell_secret(super::secret("the next"));
    assert_eq!(trial.shell(Method::GET, "internal/check", Value::Null).await.0, StatusCode::OK);
    let local = Peer::Unix { uid: 4321, gid: 4321 };
    let with_next = Request::get("/api/v4/internal/check").header("gitlab-shared-secret", base64("the next")).body("").unwrap();
    assert_eq!(trial.status_from(local, with_next).await, StatusCode::OK);
}
