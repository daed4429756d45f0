//! The endpoints, to the byte: order of fields, sentences and statuses. (server.md 1.2, 2.1 to 2.11)

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sidegate::model::clock;
use sidegate::wire::auth::jwt::{Issuer, verify_token};
use sidegate::wire::auth::secret::{RotatingSecret, Secret};

use crate::support::fake_primary::{RecordedRequest, json_response, response_with_headers};
use crate::support::gitlab::GitlabVersion;
use crate::support::gitlab::directory::{AccessQuestion, FoundProject, GitlabActor, GitlabDirectory};

const HOST: &str = "gitlab.example.com";
const API: &str = "/api/v4/internal/";

/// A request, understood.
struct Question<'a> {
    directory: &'a mut GitlabDirectory,
    version: GitlabVersion,
    params: BTreeMap<String, String>,
}

/// Returns the answer to a request.
pub fn answer(request: &RecordedRequest, directory: &mut GitlabDirectory, version: GitlabVersion, root: &str, secret: &str) -> Vec<u8> {
    let (path, query) = split_target(request);
    let Some(endpoint) = path.strip_prefix(root).and_then(|path| path.strip_prefix(API)) else {
        return json_response(404, r#"{"error":"404 Not Found"}"#);
    };
    if !is_signed_by(request, secret) {
        return json_response(401, r#"{"message":"401 Unauthorized"}"#);
    }
    let mut question = Question { directory, version, params: read_params(&query, &request.body) };
    match endpoint {
        "authorized_keys" => question.authorized_keys(),
        "authorized_certs" => question.authorized_certs(),
        "discover" => question.discover(),
        "check" => question.check(),
        "allowed" => question.allowed(),
        "lfs_authenticate" => question.lfs_authenticate(),
        "personal_access_token" => question.personal_access_token(),
        "two_factor_recovery_codes" => question.two_factor_recovery_codes(),
        "pre_receive" => json_response(200, r#"{"reference_counter_increased":true}"#),
        "post_receive" => json_response(200, r#"{"messages":[],"reference_counter_decreased":true}"#),
        _ => json_response(404, r#"{"error":"404 Not Found"}"#),
    }
}

/// Returns the path and the query of a request line.
pub fn split_target(request: &RecordedRequest) -> (String, String) {
    let target = request.request_line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), query.to_owned())
}

fn is_signed_by(request: &RecordedRequest, secret: &str) -> bool {
    let secret = RotatingSecret::new(Secret::from_bytes(secret.as_bytes()).unwrap());
    request
        .header("gitlab-shell-api-request")
        .is_some_and(|token| verify_token(token, Issuer::GitlabShell, &secret, clock::wall_time()).is_ok())
}

/// Reads the parameters of a query and of a body in JSON, numbers as their digits.
fn read_params(query: &str, body: &str) -> BTreeMap<String, String> {
    let mut params: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    if let Ok(Value::Object(members)) = serde_json::from_str(body) {
        params.extend(members.into_iter().map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))));
    }
    params
}

impl Question<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first parameter that is there names the actor; there is no falling through. (server.md 1.3)
    fn actor(&self) -> GitlabActor {
        let number = |text: &str| text.parse().unwrap_or(0);
        if let Some(id) = self.param("key_id") {
            return self.directory.actor_of_key(number(id));
        }
        if let Some(id) = self.param("user_id") {
            return self.directory.actor_of_user(number(id));
        }
        if let Some(name) = self.param("username") {
            return self.directory.actor_of_name(name);
        }
        match self.param("identifier").and_then(|text| text.split_once('-')) {
            Some(("user", id)) => self.directory.actor_of_user(number(id)),
            Some(("key", id)) => self.directory.actor_of_key(number(id)),
            _ => GitlabActor::Nobody,
        }
    }

    fn project(&self) -> Option<FoundProject<'_>> {
        match self.param("gl_repository") {
            Some(gl_repository) => self.directory.find_repository(gl_repository),
            None => self.directory.find_project(self.param("project")?),
        }
    }

    fn authorized_keys(&self) -> Vec<u8> {
        let Some(key) = self.param("key").and_then(|blob| self.directory.key_by_blob(blob)) else {
            return json_response(404, r#"{"message":"404 Key Not Found"}"#);
        };
        let owner = key.user.and_then(|user| self.directory.users.get(&user)).map_or("Ghost User", |user| &user.username);
        let mut body = json!({
            "id": key.id,
            "title": format!("key {}", key.id),
            "created_at": "2026-01-31T12:00:00.000Z",
            "expires_at": key.expires_at,
            "key": format!("ssh-ed25519 {} {owner} ({HOST})", key.blob),
        });
        if self.version == GitlabVersion::V18 {
            body["usage_type"] = json!("auth_and_signing");
        }
        json_response(200, &body.to_string())
    }

    fn authorized_certs(&self) -> Vec<u8> {
        if self.version == GitlabVersion::V15 {
            return json_response(404, r#"{"error":"404 Not Found"}"#);
        }
        let user = self.param("user_identifier").map(|name| self.directory.actor_of_name(name));
        match user {
            Some(GitlabActor::User(user, _)) => {
                json_response(200, &json!({"success": true, "namespace": "group", "username": user.username}).to_string())
            }
            _ => json_response(404, r#"{"message":"User Not Found"}"#),
        }
    }

    fn discover(&self) -> Vec<u8> {
        let body = match self.actor() {
            GitlabActor::User(user, _) => json!({"id": user.id, "username": user.username, "name": format!("Person {}", user.id)}),
            GitlabActor::DeployKey(_) | GitlabActor::Nobody => Value::Null,
        };
        json_response(200, &body.to_string())
    }

    fn check(&self) -> Vec<u8> {
        let version = if self.version == GitlabVersion::V15 { "15.2.0-ee" } else { "18.4.1-ee" };
        let body = json!({"api_version": "v4", "gitlab_version": version, "gitlab_rev": "1a2b3c4d5e6", "redis": true});
        json_response(200, &body.to_string())
    }

    fn allowed(&self) -> Vec<u8> {
        let (actor, found) = (self.actor(), self.project());
        let access = AccessQuestion { action: self.param("action").unwrap_or(""), address: self.param("check_ip"), now: now() };
        let refusal = match (&found, self.directory.check_access(&actor, found.as_ref(), &access)) {
            (Some(found), Ok(())) => return self.granted(&actor, found),
            (_, Err(refusal)) => refusal,
            (None, Ok(())) => (404, "The project you were looking for could not be found or you don't have permission to view it."),
        };
        self.allowed_response(refusal.0, &json!({"status": false, "message": refusal.1}))
    }

    fn granted(&self, actor: &GitlabActor, found: &FoundProject<'_>) -> Vec<u8> {
        let project = found.project;
        let kind = if found.wiki { "wiki" } else { "project" };
        let suffix = if found.wiki { ".wiki" } else { "" };
        let (gl_repository, path) = (format!("{kind}-{}", project.id), format!("{}{suffix}", project.path));
        let (user, key) = match actor {
            GitlabActor::User(user, key) => (Some(user), key.map(|id| ("key", id))),
            GitlabActor::DeployKey(key) => (None, Some(("deploy_key", key.id))),
            GitlabActor::Nobody => (None, None),
        };
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
        put("status", json!(true));
        put("gl_repository", json!(gl_repository));
        put("gl_project_path", json!(path));
        put("gl_id", json!(user.map(|user| format!("user-{}", user.id)).unwrap_or_default()));
        if let Some(user) = user {
            put("gl_username", json!(user.username));
        }
        put("git_config_options", json!(["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"]));
        let repository = json!({
            "storage_name": "default", "relative_path": format!("@hashed/{}{suffix}.git", project.id), "git_object_directory": "",
            "git_alternate_object_directories": [], "gl_repository": gl_repository, "gl_project_path": path,
        });
        put("gitaly", json!({"repository": repository, "address": "tcp://gitaly:8075", "token": "gitaly-token", "features": {}}));
        put("gl_console_messages", json!([]));
        if let Some((kind, id)) = key {
            put("gl_key_type", json!(kind));
            put("gl_key_id", json!(id));
        }
        if self.version == GitlabVersion::V18 {
            put("gl_project_id", json!(project.id));
            put("gl_root_namespace_id", json!(1));
            put("need_audit", json!(false));
        }
        self.allowed_response(200, &Value::Object(body))
    }

    fn allowed_response(&self, status: u16, body: &Value) -> Vec<u8> {
        let circuit_breaker = self.version == GitlabVersion::V18 && self.param("protocol") == Some("ssh");
        let more = if circuit_breaker { "Enable-Workhorse-Circuit-Breaker: true\r\n" } else { "" };
        response_with_headers(status, &format!("Content-Type: application/json\r\n{more}"), &body.to_string())
    }

    fn lfs_authenticate(&self) -> Vec<u8> {
        let Some(found) = self.project() else { return json_response(404, r#"{"message":"404 Not Found"}"#) };
        let username = match self.actor() {
            GitlabActor::User(user, _) => user.username,
            GitlabActor::DeployKey(key) => format!("lfs+deploy-key-{}", key.id),
            GitlabActor::Nobody => return json_response(404, r#"{"message":"404 Not found"}"#),
        };
        let body = json!({
            "username": username, "lfs_token": format!("token-of-{username}"),
            "repository_http_path": format!("https://{HOST}/{}.git", found.project.path), "expires_in": 7200,
        });
        json_response(200, &body.to_string())
    }

    /// Makes a token: it may be sent once.
    fn personal_access_token(&mut self) -> Vec<u8> {
        let GitlabActor::User(..) = self.actor() else {
            return json_response(200, r#"{"success":false,"message":"Could not find the given key"}"#);
        };
        let Some(name) = self.param("name").map(str::to_owned) else {
            return json_response(200, r#"{"success":false,"message":"No token name specified"}"#);
        };
        self.directory.tokens.push(name);
        let token = format!("glpat-{:020}", self.directory.tokens.len());
        json_response(200, &json!({"success": true, "token": token, "scopes": ["read_api"], "expires_at": "2027-11-27"}).to_string())
    }

    fn two_factor_recovery_codes(&mut self) -> Vec<u8> {
        let GitlabActor::User(..) = self.actor() else {
            return json_response(200, r#"{"success":false,"message":"Could not find the given key"}"#);
        };
        self.directory.recovery_codes += 1;
        let codes: Vec<String> = (0..10).map(|number| format!("{number:016x}")).collect();
        json_response(200, &json!({"success": true, "recovery_codes": codes}).to_string())
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
