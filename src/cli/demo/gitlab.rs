//! A stand-in for a GitLab in the demonstration: the four questions about its users and one project, in GitLab's words, over a Unix socket. It
//! takes a while over each answer, forgets a key when it is told to, and can hang. (server.md 1.2, 2.1, 2.3, 2.4, 2.5)

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::cli::demo::sample::SampleUsers;
use crate::cli::exit_status::CommandError;
use crate::model::clock;
use crate::net::message::{Request, Response};
use crate::net::server::counters::ServerCounters;
use crate::net::server::handler::Handler;
use crate::net::server::http_server::HttpServer;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen;
use crate::wire::auth::credentials::{CredentialCheck, CredentialVerifier};
use crate::wire::auth::secret::Secret;
use crate::wire::http::params::Params;

/// How long it takes over an answer: as a GitLab that is well.
const ANSWER_TIME: Duration = Duration::from_millis(50);
/// The largest body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;
const PROJECT: &str = "tools/gate";

/// It, until it is dropped.
pub struct DemoGitlab {
    facts: Arc<Facts>,
    server: Option<HttpServer>,
}

/// What it knows.
struct Facts {
    verifier: CredentialVerifier,
    users: Mutex<Vec<KnownUser>>,
    hangs: AtomicBool,
}

#[derive(Clone)]
struct KnownUser {
    id: u64,
    name: &'static str,
    blob: String,
    may_push: bool,
}

impl DemoGitlab {
    /// Starts it at a socket, with Zoe, who may push, and Ben, who may not.
    pub fn start(socket: &Path, users: &SampleUsers) -> Result<Self, CommandError> {
        let secret = Secret::from_bytes(users.shell_secret.as_bytes()).map_err(CommandError::new)?;
        let known = vec![
            KnownUser { id: 1, name: "zoe", blob: users.zoe.blob.clone(), may_push: true },
            KnownUser { id: 2, name: "ben", blob: users.ben.blob.clone(), may_push: false },
        ];
        let facts =
            Arc::new(Facts { verifier: CredentialVerifier::new(secret, 64), users: Mutex::new(known), hangs: AtomicBool::new(false) });
        let sockets = vec![listen::bind_unix(socket, 0o600, None).map_err(CommandError::new)?];
        let limits = ServerLimits { shutdown_time: Duration::from_millis(100), ..ServerLimits::default() };
        let server = HttpServer::start(sockets, Arc::clone(&facts), limits, 1, Arc::new(ServerCounters::default()));
        Ok(Self { facts, server: Some(server.map_err(CommandError::new)?) })
    }

    /// Removes the key of a user.
    pub fn remove_key(&self, name: &str) {
        self.facts.users.lock().unwrap_or_else(PoisonError::into_inner).retain(|user| user.name != name);
    }

    /// Lets it accept questions and never answer, or answer again.
    pub fn set_hanging(&self, hangs: bool) {
        self.facts.hangs.store(hangs, Ordering::Relaxed);
    }
}

impl Drop for DemoGitlab {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

impl Handler for Facts {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        let Request { parts, body, .. } = request;
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(ANSWER_TIME).await;
        if self.verifier.check_headers(&parts.headers, false, clock::wall_time()) != CredentialCheck::Valid {
            return Response::message(StatusCode::UNAUTHORIZED, "401 Unauthorized");
        }
        let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let Ok(body) = body.read(MAX_BODY_BYTES, Duration::from_secs(10)).await else {
            return Response::message(StatusCode::BAD_REQUEST, "400 Bad request");
        };
        let Ok(params) = Params::parse(parts.uri.query(), content_type, &body) else {
            return Response::message(StatusCode::BAD_REQUEST, "400 Bad request");
        };
        match parts.uri.path().strip_prefix("/api/v4/internal/") {
            Some("authorized_keys") => self.authorized_keys(&params),
            Some("discover") => self.discover(&params),
            Some("allowed") => self.allowed(&params),
            Some("check") => {
                let versions = json!({"api_version": "v4", "gitlab_version": "18.6.0", "gitlab_rev": "demo", "redis": true});
                Response::json(StatusCode::OK, versions.to_string())
            }
            _ => Response::json(StatusCode::NOT_FOUND, r#"{"error":"404 Not Found"}"#),
        }
    }
}

impl Facts {
    fn authorized_keys(&self, params: &Params) -> Response {
        let Some(user) = text(params, "key").and_then(|blob| self.find(|user| user.blob == blob)) else {
            return Response::message(StatusCode::NOT_FOUND, "404 Key Not Found");
        };
        let KnownUser { id, name, blob, .. } = user;
        let key = json!({
            "id": id, "title": format!("{name}'s laptop"), "created_at": "2026-01-31T12:00:00.000Z", "expires_at": null,
            "key": format!("ssh-ed25519 {blob} {name} (gitlab.example.com)"), "usage_type": "auth_and_signing",
        });
        Response::json(StatusCode::OK, key.to_string())
    }

    fn discover(&self, params: &Params) -> Response {
        let user = self.actor(params).map(|user| json!({"id": user.id, "name": user.name, "username": user.name}));
        Response::json(StatusCode::OK, user.unwrap_or(Value::Null).to_string())
    }

    fn allowed(&self, params: &Params) -> Response {
        let refuse = |status, message: &str| Response::json(status, json!({"status": false, "message": message}).to_string());
        let Some(user) = self.actor(params) else {
            return refuse(
                StatusCode::NOT_FOUND,
                "The project you were looking for could not be found or you don't have permission to view it.",
            );
        };
        let project = text(params, "project").unwrap_or_default();
        if project.trim_start_matches('/').trim_end_matches(".git") != PROJECT {
            return refuse(
                StatusCode::NOT_FOUND,
                "The project you were looking for could not be found or you don't have permission to view it.",
            );
        }
        if text(params, "action").as_deref() == Some("git-receive-pack") && !user.may_push {
            return refuse(StatusCode::UNAUTHORIZED, "You are not allowed to push code to this project.");
        }
        Response::json(StatusCode::OK, access(&user).to_string())
    }

    /// Returns who asks: the owner of a key, or a user by name.
    fn actor(&self, params: &Params) -> Option<KnownUser> {
        let id: Option<u64> = text(params, "key_id").or_else(|| text(params, "user_id")).and_then(|id| id.parse().ok());
        match (id, text(params, "username")) {
            (Some(id), _) => self.find(|user| user.id == id),
            (None, Some(name)) => self.find(|user| user.name == name),
            (None, None) => None,
        }
    }

    fn find(&self, is_meant: impl Fn(&KnownUser) -> bool) -> Option<KnownUser> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|user| is_meant(user)).cloned()
    }
}

/// Returns a parameter, a number as its digits.
fn text(params: &Params, name: &str) -> Option<String> {
    params.text(name).ok().flatten()
}

/// The answer that lets a user in.
fn access(user: &KnownUser) -> Value {
    json!({
        "status": true, "gl_repository": "project-20", "gl_project_path": PROJECT, "gl_project_id": 20, "gl_root_namespace_id": 10,
        "gl_id": format!("user-{}", user.id), "gl_username": user.name, "git_config_options": [], "gl_console_messages": [],
        "gitaly": {
            "repository": {
                "storage_name": "default", "relative_path": "tools/gate.git", "git_object_directory": "",
                "git_alternate_object_directories": [], "gl_repository": "project-20", "gl_project_path": PROJECT,
            },
            "address": "unix:/run/gitaly.sock", "token": "", "features": {},
        },
    })
}
