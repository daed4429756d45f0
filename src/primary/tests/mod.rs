//! Tests that need the inside of the primary: callers from any peer, its private store, and processes that are killed while they write.
//! What can be asked over a socket is tested in `tests/process/primary/`.

mod answers_under_way;
mod arbitrary_requests;
mod backup;
mod caller_authentication;
mod child;
mod crash_credentials;
mod crash_private_store;
mod created_repositories;
mod dry_run;
mod fleet_page;
mod invalid_records;
mod overdue_hosts;
mod ownerless_key;
mod put_off_repairs;
mod removed_users;
mod renames;
mod repository_paths;
mod revocations;
mod token_limit;
mod unpublished_intent;

#[path = "../../../tests/process/support/fake_gitaly.rs"]
mod fake_gitaly;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::daemon_metrics::DaemonFacts;
use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::net::body::IncomingBody;
use crate::net::message::Request;
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::net::server::limits::ServerLimits;
use crate::primary::config::{PrimaryOptions, Publication, RepositoryCreation};
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;

const SHELL_SECRET: &str = "a secret of the shell";
const SYNC_SECRET: &str = "a secret of the followers";
const ADMIN_TOKEN: &str = "a token of the operator";
/// A peer that is neither root nor the primary's own user.
const OTHER_USER: Peer = Peer::Unix { uid: 4321, gid: 4321 };

fn secret(text: &str) -> Secret {
    Secret::from_bytes(text.as_bytes()).unwrap()
}

fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// Opens the primary of a folder, without a socket.
fn open(folder: &Path) -> Arc<PrimaryState> {
    PrimaryState::open(options(folder)).unwrap()
}

fn options(folder: &Path) -> PrimaryOptions {
    PrimaryOptions {
        store_path: folder.join("store"),
        store_options: StoreOptions { page_cache_bytes: 8 << 20, record_cache_entries: 1024 },
        shell_secret: secret(SHELL_SECRET),
        sync_secret: secret(SYNC_SECRET),
        kas_secret: None,
        admin_token: Some(secret(ADMIN_TOKEN)),
        error_tracking_token: None,
        fleet_token: None,
        accept_shared_secret: true,
        loss_guard: LossGuard::default(),
        longest_max_stale: Duration::from_secs(86_400),
        // Where a test does not bring a Gitaly of its own.
        repositories: RepositoryCreation::ByOthers,
        publication: Publication::of_primary(),
        own_uid: own_uid(),
        bounds: ServerLimits { shutdown_time: Duration::from_millis(100), ..ServerLimits::default() },
        server_counters: Arc::default(),
        daemon: DaemonFacts::default(),
    }
}

/// Hands a request from any peer to the primary.
async fn handle(state: &Arc<PrimaryState>, peer: Peer, request: http::Request<impl Into<Bytes>>) -> (StatusCode, Value) {
    let (parts, body) = request.into_parts();
    let response = state.handle(Request { peer, parts, body: IncomingBody::from_bytes(body.into()) }).await;
    let body = http_body_util::BodyExt::collect(response.body).await.unwrap().to_bytes();
    (response.status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Sends a request with gitlab-shell's token, and the operator's.
async fn call(state: &Arc<PrimaryState>, target: &str, body: &Value) -> (StatusCode, Value) {
    let token = issue_token(Issuer::GitlabShell, None, &secret(SHELL_SECRET), clock::wall_time());
    let request = json_request(Method::POST, &format!("/api/v4/{target}"));
    let request = request.header("gitlab-shell-api-request", token).header("private-token", ADMIN_TOKEN);
    handle(state, OTHER_USER, request.body(body.to_string()).unwrap()).await
}

/// Sends a GET request with gitlab-shell's token.
async fn get(state: &Arc<PrimaryState>, target: &str) -> (StatusCode, Value) {
    let token = issue_token(Issuer::GitlabShell, None, &secret(SHELL_SECRET), clock::wall_time());
    let request = json_request(Method::GET, &format!("/api/v4/{target}")).header("gitlab-shell-api-request", token);
    handle(state, OTHER_USER, request.body("").unwrap()).await
}

/// Sends a request of the operator that reads.
async fn admin_get(state: &Arc<PrimaryState>, target: &str) -> (StatusCode, Value) {
    let request = json_request(Method::GET, &format!("/-/admin/{target}")).body("").unwrap();
    handle(state, Peer::Unix { uid: own_uid(), gid: 0 }, request).await
}

/// Applies these lines of a directory file, as the operator.
async fn apply(state: &Arc<PrimaryState>, query: &str, lines: &[String]) {
    let (status, body) = try_apply(state, query, lines).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}

/// As [`apply`], and returns the answer, whatever it is.
async fn try_apply(state: &Arc<PrimaryState>, query: &str, lines: &[String]) -> (StatusCode, Value) {
    admin(state, &format!("apply{query}"), lines.join("\n")).await
}

/// Sends a request of the operator.
async fn admin(state: &Arc<PrimaryState>, target: &str, body: String) -> (StatusCode, Value) {
    let request = json_request(Method::POST, &format!("/-/admin/{target}")).body(body).unwrap();
    handle(state, Peer::Unix { uid: own_uid(), gid: 0 }, request).await
}

/// Asks, as gitlab-shell does, whether the owner of this key may push to a path.
async fn push(state: &Arc<PrimaryState>, key_id: u32, path: &str) -> (StatusCode, Value) {
    let body = json!({"key_id": key_id, "project": path, "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    call(state, "internal/allowed", &body).await
}

fn json_request(method: Method, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(target).header("content-type", "application/json")
}

fn user(id: u32, name: &str) -> String {
    format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"The {name}"}}"#)
}

fn broadcast(id: u32, message: &str) -> String {
    format!(
        r#"{{"kind":"broadcast","id":{id},"message":"{message}","starts_at":"2020-01-31T12:00:00.000Z","ends_at":"2120-02-01T12:00:00.000Z"}}"#
    )
}

/// Zoe with her key 11 and her project `zoe/p`, and Bob with the key 12.
fn small_directory() -> Vec<String> {
    let key = |id: u32, user: u32| {
        let line = crate::model::memory_directory::ed25519_public_key(id.into());
        format!(r#"{{"kind":"key","id":{id},"user_id":{user},"title":"t","key":"{line}","created_at":"2026-01-31T12:00:00.000Z"}}"#)
    };
    vec![
        r#"{"kind":"storage","name":"default","address":"unix:/run/gitaly.sock"}"#.to_owned(),
        user(1, "zoe"),
        user(2, "bob"),
        r#"{"kind":"namespace","id":1,"type":"user","path":"zoe","name":"zoe","owner_id":1}"#.to_owned(),
        r#"{"kind":"project","id":1,"namespace_id":1,"path":"zoe/p","name":"p","relative_path":"1.git"}"#.to_owned(),
        key(11, 1),
        key(12, 2),
    ]
}
