//! A yes that the primary decided before a revocation, and is still sending, is waited for.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::{OTHER_USER, SHELL_SECRET, admin, apply, json_request, open, secret, small_directory};
use crate::model::clock;
use crate::net::body::IncomingBody;
use crate::net::message::{Request, Response};
use crate::net::server::handler::Handler as _;
use crate::primary::state::PrimaryState;
use crate::wire::auth::jwt::{Issuer, issue_token};

/// Asks whose key this is; the answer has not been sent yet.
async fn ask(state: &Arc<PrimaryState>, key_id: u32) -> Response {
    let token = issue_token(Issuer::GitlabShell, None, &secret(SHELL_SECRET), clock::wall_time());
    let request =
        json_request(Method::GET, &format!("/api/v4/internal/discover?key_id={key_id}")).header("gitlab-shell-api-request", token);
    let (parts, body) = request.body(Bytes::new()).unwrap().into_parts();
    state.handle(Request { peer: OTHER_USER, parts, body: IncomingBody::from_bytes(body) }).await
}

async fn revoke(state: &Arc<PrimaryState>, key_id: u32) -> Value {
    admin(state, "revoke-key", json!({"id": key_id, "wait": 1}).to_string()).await.1
}

#[tokio::test]
async fn a_revocation_is_not_in_force_while_an_answer_of_before_is_being_sent() {
    let folder = tempfile::tempdir().unwrap();
    let state = open(folder.path());
    apply(&state, "", &small_directory()).await;
    let unsent = ask(&state, 11).await;
    assert_eq!(revoke(&state, 11).await["answers_under_way"], true);
    let after = ask(&state, 12).await;
    drop(unsent);
    assert_eq!(revoke(&state, 12).await["answers_under_way"], true, "that one was decided before this revocation");
    drop(after);
    let blocked = admin(&state, "block-user", json!({"username": "bob", "wait": 1}).to_string()).await.1;
    assert_eq!(blocked["answers_under_way"], false);
}
