//! Which callers are accepted from which peer, and in which order a request is checked.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, StatusCode};
use serde_json::Value;

use super::{OTHER_USER, SHELL_SECRET, apply, call, handle, open, own_uid, secret, small_directory};
use crate::model::clock;
use crate::net::peer::Peer;
use crate::primary::state::PrimaryState;
use crate::wire::auth::jwt::{Issuer, issue_token};

fn tcp_peer() -> Peer {
    Peer::Tcp("127.0.0.1:1000".parse().unwrap())
}

fn empty() -> (Arc<PrimaryState>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path()), folder)
}

async fn status_from(state: &Arc<PrimaryState>, peer: Peer, request: Request<&'static str>) -> StatusCode {
    handle(state, peer, request).await.0
}

fn post(target: &str, body: &'static str) -> Request<&'static str> {
    Request::post(target).header("content-type", "application/json").body(body).unwrap()
}

#[tokio::test]
async fn the_shared_secret_is_accepted_on_the_unix_socket_only_as_a_header_or_a_parameter() {
    let (state, _folder) = empty();
    apply(&state, "", &small_directory()).await;
    let by_header = || {
        let secret = STANDARD.encode(SHELL_SECRET);
        Request::get("/api/v4/internal/check").header("gitlab-shared-secret", secret).body("").unwrap()
    };
    assert_eq!(status_from(&state, OTHER_USER, by_header()).await, StatusCode::OK);
    assert_eq!(status_from(&state, tcp_peer(), by_header()).await, StatusCode::UNAUTHORIZED);
    let by_parameter = |body| post("/api/v4/internal/allowed", body);
    let right = r#"{"secret_token":"a secret of the shell","key_id":"11","project":"zoe/p","action":"git-upload-pack","protocol":"ssh","changes":"_any"}"#;
    let wrong = r#"{"secret_token":"another","key_id":"11"}"#;
    assert_eq!(status_from(&state, OTHER_USER, by_parameter(right)).await, StatusCode::OK);
    assert_eq!(status_from(&state, tcp_peer(), by_parameter(right)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status_from(&state, OTHER_USER, by_parameter(wrong)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_path_is_checked_first_then_the_token_then_the_parameters() {
    let (state, _folder) = empty();
    let unreadable = |target: &str| post(target, "{unreadable");
    assert_eq!(status_from(&state, OTHER_USER, unreadable("/api/v4/internal/../allowed")).await, StatusCode::BAD_REQUEST);
    assert_eq!(status_from(&state, OTHER_USER, unreadable("/api/v4/internal/nothing")).await, StatusCode::NOT_FOUND);
    assert_eq!(status_from(&state, OTHER_USER, unreadable("/api/v4/internal/check")).await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(status_from(&state, OTHER_USER, unreadable("/api/v4/internal/allowed")).await, StatusCode::UNAUTHORIZED);
    let (status, _) = call(&state, "internal/allowed", &Value::String("x".to_owned())).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_operator_is_root_or_the_primarys_own_user_on_the_socket_itself() {
    let (state, _folder) = empty();
    let status = async |peer, forwarded: bool| {
        let mut request = Request::get("/-/admin/status");
        if forwarded {
            request = request.header("x-sidegate-forwarded", "ssh-1");
        }
        status_from(&state, peer, request.body("").unwrap()).await
    };
    for uid in [0, own_uid()] {
        assert_eq!(status(Peer::Unix { uid, gid: 1 }, false).await, StatusCode::OK);
        assert_eq!(status(Peer::Unix { uid, gid: 1 }, true).await, StatusCode::FORBIDDEN);
    }
    assert_eq!(status(Peer::Unix { uid: 4321, gid: 0 }, false).await, StatusCode::FORBIDDEN);
    assert_eq!(status(tcp_peer(), false).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_metrics_are_for_the_operator_and_health_is_for_everybody() {
    let (state, _folder) = empty();
    let get = |target: &str| Request::get(target).body("").unwrap();
    assert_eq!(status_from(&state, OTHER_USER, get("/-/metrics")).await, StatusCode::FORBIDDEN);
    assert_eq!(status_from(&state, Peer::Unix { uid: 0, gid: 0 }, get("/-/metrics")).await, StatusCode::OK);
    assert_eq!(status_from(&state, OTHER_USER, get("/-/liveness")).await, StatusCode::OK);
    assert_eq!(status_from(&state, tcp_peer(), get("/-/readiness")).await, StatusCode::OK);
}

#[tokio::test]
async fn a_rotated_secret_is_accepted_at_once_and_the_previous_one_still_is() {
    let (state, _folder) = empty();
    state.rotate_shell_secret(secret("the next"));
    for accepted in [SHELL_SECRET, "the next"] {
        let secret = STANDARD.encode(accepted);
        let request = Request::get("/api/v4/internal/check").header("gitlab-shared-secret", secret).body("").unwrap();
        assert_eq!(status_from(&state, OTHER_USER, request).await, StatusCode::OK, "{accepted}");
    }
    let token = issue_token(Issuer::GitlabShell, None, &secret(SHELL_SECRET), clock::wall_time());
    let request = Request::get("/api/v4/internal/check").header("gitlab-shell-api-request", token).body("").unwrap();
    assert_eq!(status_from(&state, tcp_peer(), request).await, StatusCode::OK, "a token signed with the previous secret");
}
