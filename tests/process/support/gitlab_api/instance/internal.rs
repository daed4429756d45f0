//! The internal API for the same users and keys, as far as hosts and the mirror ask it. Projects are not held: whoever is active may read
//! and write every one. (server.md 2.1, 2.3, 2.4, 2.5)

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Answer;
use super::records::{ApiKey, Instance, written_moment};
use super::rest::ApiVersion;

const HOST: &str = "gitlab.example.com";

/// Returns the answer to a question that is signed. `params` are those of query and body.
pub fn answer(instance: &Instance, version: ApiVersion, endpoint: &str, params: &BTreeMap<String, String>) -> Answer {
    let param = |name: &str| params.get(name).map(String::as_str).filter(|value| !value.is_empty());
    match endpoint {
        "authorized_keys" => authorized_keys(instance, version, param("key").unwrap_or_default()),
        "discover" => discover(instance, params),
        "check" => check(version),
        "allowed" => allowed(instance, params),
        _ => Answer::no_route(),
    }
}

/// Blocked owners and keys that have ended are found, keys for signing only are not.
fn authorized_keys(instance: &Instance, version: ApiVersion, blob: &str) -> Answer {
    let Some(key) = instance.key_by_blob(blob).filter(|key| instance.is_login_key(key.id)) else {
        return Answer::message(404, "404 Key Not Found");
    };
    let owner = key.user.and_then(|user| instance.users.get(&user)).map_or("Ghost User", |user| user.name.as_str());
    let mut body = json!({
        "id": key.id, "title": key.title, "created_at": written_moment(key.created_at), "expires_at": key.expires_at,
        "key": format!("{} {owner} ({HOST})", key.line),
    });
    if version == ApiVersion::V17 {
        body["usage_type"] = json!(key.usage);
    }
    Answer::json(200, body)
}

/// Who asks: the first parameter that is there, without falling through.
enum Actor<'a> {
    Key(&'a ApiKey),
    User(u64),
    Nobody,
}

fn actor<'a>(instance: &'a Instance, params: &BTreeMap<String, String>) -> Actor<'a> {
    let number = |text: &String| text.parse::<u64>().unwrap_or(0);
    let user = |id: u64| if instance.users.contains_key(&id) { Actor::User(id) } else { Actor::Nobody };
    if let Some(id) = params.get("key_id") {
        let key = instance.keys.get(&number(id)).filter(|key| key.usage != "signing");
        return key.map_or(Actor::Nobody, Actor::Key);
    }
    if let Some(id) = params.get("user_id") {
        return user(number(id));
    }
    let by_name = params.get("username").and_then(|name| instance.users.values().find(|user| user.username.eq_ignore_ascii_case(name)));
    by_name.map_or(Actor::Nobody, |found| user(found.id))
}

fn discover(instance: &Instance, params: &BTreeMap<String, String>) -> Answer {
    let id = match actor(instance, params) {
        Actor::Key(key) => key.user,
        Actor::User(id) => Some(id),
        Actor::Nobody => None,
    };
    let user = id.and_then(|id| instance.users.get(&id));
    Answer::json(200, user.map_or(Value::Null, |user| json!({"id": user.id, "username": user.username, "name": user.name})))
}

fn check(version: ApiVersion) -> Answer {
    let version = if version == ApiVersion::V15 { "15.2.0-ee" } else { "17.6.1-ee" };
    Answer::json(200, json!({"api_version": "v4", "gitlab_version": version, "gitlab_rev": "1a2b3c4d5e6", "redis": true}))
}

fn allowed(instance: &Instance, params: &BTreeMap<String, String>) -> Answer {
    let refuse = |status, text: &str| Answer::json(status, json!({"status": false, "message": text}));
    let actor = actor(instance, params);
    let (user, key) = match actor {
        Actor::Key(key) if key.deploy.is_some() => (None, Some(key)),
        Actor::Key(key) => (key.user, Some(key)),
        Actor::User(id) => (Some(id), None),
        Actor::Nobody => {
            return refuse(404, "The project you were looking for could not be found or you don't have permission to view it.");
        }
    };
    let ends = key.and_then(|key| key.expires_at.as_deref()).and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if ends.is_some_and(|ends| ends < jiff::Timestamp::from_second(1_767_225_600).unwrap()) {
        return refuse(401, "Your SSH key has expired.");
    }
    let user = user.and_then(|id| instance.users.get(&id));
    if user.is_some_and(|user| user.state != "active") {
        return refuse(401, "Your account has been blocked.");
    }
    let path = params.get("project").map_or("", |path| path.trim_start_matches('/').trim_end_matches(".git"));
    let repository = json!({
        "storage_name": "default", "relative_path": format!("@hashed/{path}.git"), "git_object_directory": "",
        "git_alternate_object_directories": [], "gl_repository": "project-1", "gl_project_path": path,
    });
    let mut body = json!({
        "status": true, "gl_repository": "project-1", "gl_project_path": path,
        "gl_id": user.map_or_else(String::new, |user| format!("user-{}", user.id)),
        "git_config_options": ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"],
        "gitaly": {"repository": repository, "address": "unix:/run/gitaly.sock", "token": "", "features": {}}, "gl_console_messages": [],
    });
    if let Some(user) = user {
        body["gl_username"] = json!(user.username);
    }
    if let Some(key) = key {
        body["gl_key_type"] = json!(if key.deploy.is_some() { "deploy_key" } else { "key" });
        body["gl_key_id"] = json!(key.id);
    }
    Answer::json(200, body)
}
