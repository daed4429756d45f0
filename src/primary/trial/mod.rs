//! A primary under trial: a real store in a folder of its own, a real socket, requests as its clients send them.

mod admin;
mod audit;
mod billing;
mod credentials;
mod directory;
mod error_tracking;
mod feed;
mod identity;
mod killed;
mod killed_keeping;
mod kubernetes;
mod pushing;
mod questions;
mod revoking;
mod withheld;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::model::clock;
use crate::model::loss_guard::LossGuard;
use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::http_client::HttpClient;
use crate::net::message::Request;
use crate::net::peer::Peer;
use crate::net::server::handler::Handler as _;
use crate::net::server::http_server::HttpServer;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen;
use crate::primary::config::PrimaryOptions;
use crate::primary::state::PrimaryState;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::jwt::{Issuer, issue_token};
use crate::wire::auth::secret::Secret;

const SHELL: &str = "a secret of the shell";
const ADMIN_TOKEN: &str = "a token of the operator";
const SYNC: &str = "a secret of the followers";
const KAS: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ERROR_TRACKING: &str = "a token of error tracking";
const WITHIN: Duration = Duration::from_secs(20);
const DOCUMENT: usize = 64 << 20;

/// Ends with the test: the server first, then the primary, then the folder.
struct Trial {
    server: Option<HttpServer>,
    client: HttpClient,
    house: Arc<PrimaryState>,
    folder: tempfile::TempDir,
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

fn secret(text: &str) -> Secret {
    Secret::from_bytes(text.as_bytes()).unwrap()
}

fn own_uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

fn bounds() -> ServerLimits {
    ServerLimits { shutdown_time: Duration::from_millis(100), ..ServerLimits::default() }
}

fn open(folder: &std::path::Path) -> Arc<PrimaryState> {
    let setup = PrimaryOptions {
        store_path: folder.join("store"),
        store_options: StoreOptions { page_cache_bytes: 8 << 20, record_cache_entries: 1024 },
        shell_secret: secret(SHELL),
        sync_secret: secret(SYNC),
        kas_secret: Some(Secret::from_kas_base64(KAS.as_bytes()).unwrap()),
        admin_token: Some(secret(ADMIN_TOKEN)),
        error_tracking_token: Some(secret(ERROR_TRACKING)),
        accept_shared_secret: true,
        loss_guard: LossGuard::default(),
        own_uid: own_uid(),
        bounds: bounds(),
        server_counters: Arc::default(),
    };
    PrimaryState::open(setup).unwrap()
}

impl Trial {
    /// An empty primary.
    fn empty() -> Self {
        Self::over(tempfile::tempdir().unwrap())
    }

    /// What is in a folder.
    fn over(folder: tempfile::TempDir) -> Self {
        let house = open(folder.path());
        let path = folder.path().join("api.sock");
        let socket = listen::bind_unix(&path, 0o600, None).unwrap();
        let server = HttpServer::start(vec![socket], Arc::clone(&house), bounds(), 2, Arc::default()).unwrap();
        let client = HttpClient::new(&format!("http+unix://{}", path.display()), None, false).unwrap();
        Self { server: Some(server), client, house, folder }
    }

    /// One with these lines of a directory file.
    async fn with(lines: &[String]) -> Self {
        let trial = Self::empty();
        let (status, body) = trial.apply("", lines).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        trial
    }

    /// The same folder, opened again.
    fn again(self) -> Self {
        Self::over(self.closed())
    }

    /// Its folder, which nobody has open any longer.
    fn closed(mut self) -> tempfile::TempDir {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// Sends a request as it is given and reads the whole answer.
    async fn send(&self, request: http::Request<OutgoingBody>) -> (StatusCode, http::HeaderMap, Bytes) {
        let answer = self.client.send(request, WITHIN).await.unwrap();
        let (head, body) = answer.into_parts();
        (head.status, head.headers, body.read(DOCUMENT, WITHIN).await.unwrap())
    }

    /// As gitlab-shell asks.
    async fn shell(&self, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        let (status, _, body) = self.send(self.shell_request(method, target, body)).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn shell_request(&self, method: Method, target: &str, body: Value) -> http::Request<OutgoingBody> {
        let token = issue_token(Issuer::GitlabShell, None, &secret(SHELL), clock::wall_time());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        request(method, &format!("/api/v4/{target}"))
            .header("gitlab-shell-api-request", token)
            .body(OutgoingBody::from_bytes(body))
            .unwrap()
    }

    /// As a follower asks.
    fn sync_request(&self, host: &str, method: Method, target: &str, body: Value) -> http::Request<OutgoingBody> {
        let token = issue_token(Issuer::Follower, Some(host), &secret(SYNC), clock::wall_time());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        request(method, &format!("/api/v4/internal/sidegate/{target}"))
            .header("sidegate-sync-request", token)
            .body(OutgoingBody::from_bytes(body))
            .unwrap()
    }

    async fn sync(&self, host: &str, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        let (status, _, body) = self.send(self.sync_request(host, method, target, body)).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// As the operator asks.
    async fn admin(&self, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request(method, &format!("/-/admin/{target}")).body(OutgoingBody::from_bytes(body)).unwrap();
        let (status, _, body) = self.send(request).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn apply(&self, query: &str, lines: &[String]) -> (StatusCode, Value) {
        let request = request(Method::POST, &format!("/-/admin/apply{query}")).body(OutgoingBody::from_bytes(lines.join("\n"))).unwrap();
        let (status, _, body) = self.send(request).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn export(&self) -> String {
        let (status, _, body) = self.send(request(Method::GET, "/-/admin/export").body(OutgoingBody::from_bytes("")).unwrap()).await;
        assert_eq!(status, StatusCode::OK);
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// The status of a request from any peer, without a socket.
    async fn status_from(&self, peer: Peer, request: http::Request<&'static str>) -> StatusCode {
        let (parts, body) = request.into_parts();
        self.house.handle(Request { peer, parts, body: IncomingBody::from_bytes(Bytes::from_static(body.as_bytes())) }).await.status
    }
}

fn request(method: Method, target: &str) -> http::request::Builder {
    http::Request::builder().method(method).uri(target).header("content-type", "application/json")
}

/// A key that no other number has.
fn public_key(number: u32) -> String {
    use base64::Engine as _;
    let mut blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20".to_vec();
    blob.extend_from_slice(&[7; 28]);
    blob.extend_from_slice(&number.to_be_bytes());
    format!("ssh-ed25519 {}", base64::engine::general_purpose::STANDARD.encode(blob))
}

fn storage() -> String {
    r#"{"kind":"storage","name":"default","address":"unix:/run/gitaly.sock"}"#.to_owned()
}

fn user(id: u32, name: &str) -> String {
    format!(r#"{{"kind":"user","id":{id},"username":"{name}","name":"The {name}"}}"#)
}

fn home(id: u32, name: &str) -> String {
    format!(r#"{{"kind":"namespace","id":{id},"type":"user","path":"{name}","name":"{name}","owner_id":{id}}}"#)
}

fn project(id: u32, namespace: u32, path: &str) -> String {
    format!(r#"{{"kind":"project","id":{id},"namespace_id":{namespace},"path":"{path}","name":"p","relative_path":"{id}.git"}}"#)
}

fn key(id: u32, user: u32) -> String {
    let line = public_key(id);
    format!(r#"{{"kind":"key","id":{id},"user_id":{user},"title":"t","key":"{line}","created_at":"2026-01-31T12:00:00.000Z"}}"#)
}

/// Zoë with her key 11 and her project `zoe/p`, and Bob, who has the key 12 and nothing else.
fn small() -> Vec<String> {
    vec![storage(), user(1, "zoe"), user(2, "bob"), home(1, "zoe"), project(1, 1, "zoe/p"), key(11, 1), key(12, 2)]
}
