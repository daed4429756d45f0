//! Tests of `sidegate primary` alone, over its socket: what it answers to gitlab-shell, hosts, cluster agents and its operator.

mod admin;
mod apply;
mod audit_events;
mod authentication;
mod billing;
mod credentials;
mod error_tracking;
mod feed;
mod field_grammar;
mod kubernetes;
mod push_hooks;
mod revocation;
mod shell_requests;
mod unpublished_records;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use sidegate::model::change::Head;

use crate::support::contract_directory::primary_with_all_credentials;
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;
use crate::support::http::Request;

/// A primary that runs, with every kind of credential configured.
pub struct TestPrimary(TestEnv);

impl TestPrimary {
    /// A primary with an empty directory.
    fn empty() -> Self {
        Self::with(&[])
    }

    /// A primary with these lines of a directory file.
    fn with(lines: &[String]) -> Self {
        Self(primary_with_all_credentials("", &lines.join("\n")))
    }

    /// The same primary, stopped and started again.
    fn restart(mut self) -> Self {
        self.0.primary.as_mut().unwrap().stop();
        self.0.start_primary();
        self
    }

    /// The same primary, started again without this line of its configuration.
    fn restart_without(self, key: &str) -> Self {
        let config = std::fs::read_to_string(self.0.path().join("primary.toml")).unwrap();
        let (removed, kept): (Vec<&str>, Vec<&str>) = config.lines().partition(|line| line.starts_with(key));
        assert_eq!(removed.len(), 1, "{config}");
        self.0.write("primary.toml", &kept.join("\n"));
        self.restart()
    }

    /// Sends a request and reads the whole answer.
    fn send(&self, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = request.send(&self.0.primary_socket());
        let header =
            |(name, value): &(String, String)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        let headers = response.headers.iter().map(header).collect();
        (StatusCode::from_u16(response.status).unwrap(), headers, response.body)
    }

    fn send_for_json(&self, request: Request) -> (StatusCode, Value) {
        let (status, _, body) = self.send(request);
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends a request with gitlab-shell's token.
    fn shell(&self, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        self.send_for_json(self.shell_request(method, target, body))
    }

    fn shell_request(&self, method: Method, target: &str, body: Value) -> Request {
        request_with_json(method, &format!("/api/v4/{target}"), &body).header("gitlab-shell-api-request", &self.0.shell_token())
    }

    /// Sends a request with the token of a host that follows.
    fn sync(&self, host: &str, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        self.send_for_json(self.sync_request(host, method, target, body))
    }

    fn sync_request(&self, host: &str, method: Method, target: &str, body: Value) -> Request {
        let target = format!("/api/v4/internal/sidegate/{target}");
        request_with_json(method, &target, &body).header("sidegate-sync-request", &self.0.sync_token(host))
    }

    /// Sends a request as the operator.
    fn admin(&self, method: Method, target: &str, body: Value) -> (StatusCode, Value) {
        self.send_for_json(request_with_json(method, &format!("/-/admin/{target}"), &body))
    }

    /// Applies these lines of a directory file.
    fn apply(&self, query: &str, lines: &[String]) -> (StatusCode, Value) {
        self.send_for_json(request(Method::POST, &format!("/-/admin/apply{query}")).body(lines.join("\n")))
    }

    fn export(&self) -> String {
        let (status, _, body) = self.send(request(Method::GET, "/-/admin/export"));
        assert_eq!(status, StatusCode::OK);
        String::from_utf8(body).unwrap()
    }

    fn head(&self) -> Head {
        serde_json::from_value(self.0.primary_status()["head"].clone()).unwrap()
    }

    /// One of the counts of what is stored beside the directory.
    fn stored(&self, name: &str) -> Value {
        let status = self.0.primary_status();
        assert!(status["kept"].get(name).is_some(), "{status}");
        status["kept"][name].clone()
    }
}

fn request(method: Method, target: &str) -> Request {
    Request::new(method.as_str(), target).header("content-type", "application/json")
}

fn request_with_json(method: Method, target: &str, body: &Value) -> Request {
    request(method, target).body(if body.is_null() { String::new() } else { body.to_string() })
}

/// A key that no other number has.
fn public_key(number: u32) -> String {
    format!("ssh-ed25519 {}", key_blob(number.into()))
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

/// Zoe with her key 11 and her project `zoe/p`, and Bob, who has the key 12 and nothing else.
fn small_directory() -> Vec<String> {
    vec![storage(), user(1, "zoe"), user(2, "bob"), home(1, "zoe"), project(1, 1, "zoe/p"), key(11, 1), key(12, 2)]
}
