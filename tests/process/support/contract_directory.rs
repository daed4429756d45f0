//! The directory that the cases are about, and the words in which they ask: people in every state, keys of every kind, projects of every
//! visibility and access.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidegate::model::clock;

use crate::support::contract_case::ApiCall;
use crate::support::env::TestEnv;

pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const PAST_DATE: &str = "2020-01-01T00:00:00Z";

/// People: number, name, what else is so, and their role in the group `team`. The key of each has the number 100 + theirs.
const USERS: &[(u64, &str, &str, Option<u64>)] = &[
    (1, "admin", r#"{"admin":true}"#, None),
    (2, "owner", "{}", Some(50)),
    (3, "maintainer", "{}", Some(40)),
    (4, "developer", "{}", Some(30)),
    (5, "reporter", "{}", Some(20)),
    (6, "guest", "{}", Some(10)),
    (7, "outsider", "{}", None),
    (8, "external", r#"{"external":true}"#, None),
    (9, "blocked", r#"{"state":"blocked"}"#, Some(40)),
    (10, "deactivated", r#"{"state":"deactivated"}"#, Some(40)),
    (11, "passworded", r#"{"password_expires_at":"2020-01-01T00:00:00Z"}"#, Some(40)),
    (12, "ldap", r#"{"password_expires_at":"2020-01-01T00:00:00Z","ldap":true}"#, Some(40)),
    (13, "approval", r#"{"state":"pending_approval"}"#, Some(40)),
    (14, "banned", r#"{"state":"banned"}"#, Some(40)),
    (15, "unconfirmed", r#"{"state":"unconfirmed"}"#, Some(40)),
    (16, "internal", r#"{"state":"internal"}"#, Some(40)),
    (17, "unsigned", r#"{"terms_accepted":false}"#, Some(30)),
    (18, "awaiting", "{}", None),
    (19, "lapsed", "{}", None),
    (20, "ldapblocked", r#"{"state":"blocked","password_expires_at":"2020-01-01T00:00:00Z","ldap":true}"#, Some(40)),
    (21, "friend", "{}", None),
    (22, "planner", "{}", Some(15)),
    (23, "twofactor", r#"{"two_factor":true}"#, Some(30)),
    (24, "limited", r#"{"projects_limit":0}"#, None),
];

/// Keys besides: number, whose, and what else is so.
pub const EXPIRED_KEY: u64 = 201;
pub const EXPIRING_KEY: u64 = 202;
pub const SIGNING_KEY: u64 = 203;
pub const AUTH_ONLY_KEY: u64 = 204;
pub const RSA_KEY: u64 = 205;
/// Deploy keys: of every project of `team`, once for reading and once for pushing; of another one; expired; of a blocked creator.
pub const READ_DEPLOY_KEY: u64 = 301;
pub const PUSH_DEPLOY_KEY: u64 = 302;
pub const OTHER_PROJECT_DEPLOY_KEY: u64 = 303;
pub const EXPIRED_DEPLOY_KEY: u64 = 304;

/// What callers show who do not come with gitlab-shell's token.
pub const ADMIN_TOKEN: &str = "an-admin-token-of-thirty-two-hex";
pub const ERROR_TRACKING_TOKEN: &str = "an-error-tracking-token-of-ours1";
pub const KAS_SECRET: [u8; 32] = [b'k'; 32];
/// The tokens of two agents, of `team/private` and of `team/sub/deep`.
pub const AGENT_TOKENS: [&str; 2] = ["the-token-of-agent-1", "the-token-of-agent-2"];

/// Projects of `team` of every visibility and access: number, path, visibility, access.
pub const PROJECTS: [(u64, &str, &str, &str); 9] = [
    (10, "team/private", "private", "enabled"),
    (11, "team/private-members", "private", "private"),
    (12, "team/private-off", "private", "disabled"),
    (13, "team/internal", "internal", "enabled"),
    (14, "team/internal-members", "internal", "private"),
    (15, "team/internal-off", "internal", "disabled"),
    (16, "team/public", "public", "enabled"),
    (17, "team/public-members", "public", "private"),
    (18, "team/public-off", "public", "disabled"),
];

/// The settings of the plain directory: no limit, since rows ask often.
pub fn settings_line(more: &Value) -> String {
    let mut settings =
        json!({"kind": "settings", "host": "git.example.com", "web_url": "https://git.example.com", "operations_per_minute": 0});
    for (name, value) in more.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    format!("{settings}\n")
}

/// The whole directory, under these settings besides the usual ones.
pub fn contract_directory(more: &Value) -> String {
    let mut lines = vec![
        json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock", "token": "gitaly-token", "features": {"gitaly-feature-a": true}}),
    ];
    add_namespaces(&mut lines);
    add_users(&mut lines);
    add_keys(&mut lines);
    add_projects(&mut lines);
    add_snippets(&mut lines);
    add_other_records(&mut lines);
    settings_line(more) + &lines.iter().map(|line| format!("{line}\n")).collect::<String>()
}

fn add_namespaces(lines: &mut Vec<Value>) {
    for (id, path, parent, more) in [
        (1, "team", None, json!({"visibility": "public"})),
        (2, "team/sub", Some(1), json!({})),
        (3, "shelf", None, json!({"archived": true})),
        (4, "shelf/low", Some(3), json!({})),
        (5, "fence", None, json!({"allowed_ips": ["150.168.0.1"]})),
        (6, "friends", None, json!({})),
        (7, "other", None, json!({"visibility": "public"})),
        (8, "closed", None, json!({"project_creation": "noone"})),
    ] {
        let mut line = json!({"kind": "namespace", "id": id, "type": "group", "path": path, "name": path});
        if let Some(parent) = parent {
            line["parent_id"] = json!(parent);
        }
        lines.push(merged(line, &more));
    }
    for (id, name, ..) in USERS.iter().filter(|(id, ..)| [4, 7, 9, 24].contains(id)) {
        lines.push(json!({"kind": "namespace", "id": 1000 + id, "type": "user", "path": name, "name": name, "owner_id": id}));
    }
}

fn add_users(lines: &mut Vec<Value>) {
    for (id, name, more, role) in USERS {
        let full = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let user = json!({"kind": "user", "id": id, "username": name, "name": full});
        lines.push(merged(user, &serde_json::from_str(more).unwrap()));
        if let Some(level) = role {
            lines.push(json!({"kind": "member", "namespace_id": 1, "user_id": id, "access_level": level}));
        }
    }
    for (place, user, level, more) in [
        (1, 18, 30, json!({"pending": true})),
        (1, 19, 30, json!({"expires_at": PAST_DATE})),
        (3, 3, 40, json!({})),
        (3, 4, 30, json!({})),
        (5, 4, 30, json!({})),
        (6, 21, 40, json!({})),
        (8, 4, 50, json!({})),
    ] {
        lines.push(merged(json!({"kind": "member", "namespace_id": place, "user_id": user, "access_level": level}), &more));
    }
}

fn add_keys(lines: &mut Vec<Value>) {
    let mut put = |id: u64, user: u64, more: &Value| {
        let line = json!({"kind": "key", "id": id, "user_id": user, "title": format!("key {id}"), "key": contract_public_key(id), "created_at": "2026-01-31T12:00:00Z"});
        lines.push(merged(line, more));
    };
    for (id, ..) in USERS {
        put(100 + id, *id, &json!({}));
    }
    let soon = clock::wall_time().plus(2 * DAY).to_string();
    put(EXPIRED_KEY, 3, &json!({"expires_at": PAST_DATE}));
    put(EXPIRING_KEY, 4, &json!({"expires_at": soon}));
    put(SIGNING_KEY, 4, &json!({"usage": "signing"}));
    put(AUTH_ONLY_KEY, 4, &json!({"usage": "auth"}));
    put(RSA_KEY, 3, &json!({}));
    put(READ_DEPLOY_KEY, 9, &json!({"deploy": true}));
    put(PUSH_DEPLOY_KEY, 4, &json!({"deploy": true}));
    put(OTHER_PROJECT_DEPLOY_KEY, 3, &json!({"deploy": true}));
    put(EXPIRED_DEPLOY_KEY, 3, &json!({"deploy": true, "expires_at": PAST_DATE}));
}

fn add_projects(lines: &mut Vec<Value>) {
    for (id, path, visibility, access) in PROJECTS {
        lines.push(project_record(id, 1, path, &json!({"visibility": visibility, "repository_access": access})));
    }
    for (id, namespace, path, more) in [
        (20, 1, "team/archived", json!({"visibility": "public", "archived": true})),
        (21, 4, "shelf/low/code", json!({})),
        (22, 1, "team/frozen", json!({"repository_read_only": true})),
        (23, 1, "team/hollow", json!({"repository_exists": false})),
        (24, 2, "team/sub/deep", json!({})),
        (25, 5, "fence/code", json!({})),
        (26, 1004, "developer/own", json!({"visibility": "public"})),
        (27, 7, "other/lent", json!({})),
        (28, 7, "other/elsewhere", json!({})),
        (29, 1, "team/guarded", json!({})),
        (30, 1009, "blocked/own", json!({})),
        (31, 1, "team/without-lfs", json!({"lfs_enabled": false})),
        (32, 1, "team/unlinked", json!({"print_merge_request_link": false})),
    ] {
        lines.push(project_record(id, namespace, path, &more));
    }
    for (id, ..) in PROJECTS {
        lines.push(json!({"kind": "deploy_grant", "key_id": READ_DEPLOY_KEY, "project_id": id}));
        lines.push(json!({"kind": "deploy_grant", "key_id": PUSH_DEPLOY_KEY, "project_id": id, "can_push": true}));
    }
    lines.push(json!({"kind": "deploy_grant", "key_id": PUSH_DEPLOY_KEY, "project_id": 20, "can_push": true}));
    lines.push(json!({"kind": "deploy_grant", "key_id": OTHER_PROJECT_DEPLOY_KEY, "project_id": 28, "can_push": true}));
    lines.push(json!({"kind": "deploy_grant", "key_id": EXPIRED_DEPLOY_KEY, "project_id": 10, "can_push": true}));
    lines.push(json!({"kind": "share", "project_id": 27, "with_namespace_id": 6, "access_level": 20}));
    lines.push(json!({"kind": "redirect", "from": "former/place", "project_id": 10}));
    for (pattern, push) in [("feature", "maintainer"), ("frozen/*", "noone"), ("shared", "developer")] {
        lines.push(json!({"kind": "protected_branch", "project_id": 29, "pattern": pattern, "push": push, "merge": push}));
    }
    lines.push(json!({"kind": "protected_tag", "project_id": 29, "pattern": "v*", "create": "maintainer"}));
}

fn project_record(id: u64, namespace: u64, path: &str, more: &Value) -> Value {
    let line =
        json!({"kind": "project", "id": id, "namespace_id": namespace, "path": path, "name": path, "relative_path": format!("{path}.git")});
    merged(line, more)
}

fn add_snippets(lines: &mut Vec<Value>) {
    for (id, author, more) in [
        (1, 4, json!({})),
        (2, 4, json!({"visibility": "public"})),
        (3, 5, json!({"project_id": 10})),
        (4, 4, json!({"project_id": 20})),
        (5, 4, json!({"repository_read_only": true})),
        (6, 4, json!({"repository_exists": false})),
    ] {
        let line =
            json!({"kind": "snippet", "id": id, "author_id": author, "storage": "default", "relative_path": format!("snippets/{id}.git")});
        lines.push(merged(line, &more));
    }
}

fn add_other_records(lines: &mut Vec<Value>) {
    lines.push(agent_record(1, AGENT_TOKENS[0], 10));
    lines.push(agent_record(2, AGENT_TOKENS[1], 24));
    for (key, active) in [("active", true), ("disabled", false)] {
        lines.push(json!({"kind": "error_tracking_key", "project_id": 10, "public_key": key, "active": active}));
    }
    let updated = "2022-06-02T05:36:26Z";
    lines.push(json!({"kind": "scan_execution_policy", "project_id": 10, "name": "Policy", "description": "Policy description", "enabled": true, "yaml": "---\nname: Policy\n", "updated_at": updated}));
    lines.push(json!({"kind": "policy_configuration", "project_id": 10, "cadence": "30 2 * * *", "namespaces": ["namespace-a", "namespace-b"], "updated_at": updated}));
}

/// An agent of a project, which shows this token.
pub fn agent_record(id: u64, token: &str, project: u64) -> Value {
    let sha256: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"kind": "agent", "id": id, "name": format!("agent-{id}"), "project_id": project, "token_sha256": sha256})
}

fn merged(mut line: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().into_iter().flatten() {
        line[name] = value.clone();
    }
    line
}

/// The public key with this number: RSA of 1024 bits if it is [`RSA`], else Ed25519.
pub fn contract_public_key(number: u64) -> String {
    let algorithm = if number == RSA_KEY { "ssh-rsa" } else { "ssh-ed25519" };
    format!("{algorithm} {}", contract_key_blob(number))
}

/// Its blob in Base64.
pub fn contract_key_blob(number: u64) -> String {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
    };
    if number == RSA_KEY {
        put(b"ssh-rsa");
        put(&[1, 0, 1]);
        let mut modulus = vec![0xa5; 128];
        modulus.insert(0, 0);
        put(&modulus);
    } else {
        let mut point = [7; 32];
        point[..8].copy_from_slice(&number.to_be_bytes());
        put(b"ssh-ed25519");
        put(&point);
    }
    STANDARD.encode(bytes)
}

/// The number of a person by name.
pub fn user_id(name: &str) -> u64 {
    USERS.iter().find(|(_, known, ..)| *known == name).unwrap_or_else(|| panic!("nobody is called {name}")).0
}

/// Who asks: a person by the person's key; `user:NAME` and `name:NAME` without a key; `key:ID` by any key; `nobody`.
pub fn with_actor(call: ApiCall, who: &str) -> ApiCall {
    match who.split_once(':') {
        None if who == "nobody" => call,
        None => call.with("key_id", 100 + user_id(who)),
        Some(("user", name)) => call.with("user_id", user_id(name)),
        Some(("name", name)) => call.with("username", name),
        Some(("key", id)) => call.with("key_id", id),
        Some((word, _)) => panic!("{word} is no way to ask"),
    }
}

/// Who asks, by any key.
pub fn key_actor(id: u64) -> String {
    format!("key:{id}")
}

pub fn allowed(who: &str, action: &str, project: &str) -> ApiCall {
    let call = ApiCall::post("/api/v4/internal/allowed").with("action", action).with("project", project);
    with_actor(call.with("protocol", "ssh").with("changes", "_any"), who)
}

pub fn pull(who: &str, project: &str) -> ApiCall {
    allowed(who, "git-upload-pack", project)
}

pub fn push(who: &str, project: &str) -> ApiCall {
    allowed(who, "git-receive-pack", project)
}

pub fn discover(who: &str) -> ApiCall {
    with_actor(ApiCall::get("/api/v4/internal/discover"), who)
}

pub fn lfs(who: &str, project: &str) -> ApiCall {
    with_actor(ApiCall::post("/api/v4/internal/lfs_authenticate").with("project", project), who)
}

/// The environment of the plain directory: one for all tests that run at once, ended with the last of them.
pub fn shared_env() -> Arc<TestEnv> {
    static SHARED: Mutex<Weak<TestEnv>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let env = Arc::new(fresh_env());
        *shared = Arc::downgrade(&env);
        env
    })
}

/// An environment of its own, whose settings may be changed.
pub fn fresh_env() -> TestEnv {
    env_with_all_credentials(&contract_directory(&json!({})))
}

/// An environment with this directory, whose primary knows every kind of caller.
pub fn env_with_all_credentials(directory: &str) -> TestEnv {
    let mut env = primary_with_all_credentials("", directory);
    env.start_sidecar();
    env.wait_until_fresh();
    env
}

/// The same without a sidecar, and with more lines in the primary's configuration.
pub fn primary_with_all_credentials(primary_more: &str, directory: &str) -> TestEnv {
    let mut env = TestEnv::with_config(primary_more, "");
    env.write("kas_secret", &STANDARD.encode(KAS_SECRET));
    env.write("admin_token", ADMIN_TOKEN);
    env.write("error_tracking_token", ERROR_TRACKING_TOKEN);
    let config = std::fs::read_to_string(env.path().join("primary.toml")).unwrap();
    let files = ["kas_secret", "admin_token", "error_tracking_token"];
    let lines: String = files.iter().map(|name| format!("{name}_file = \"{}/{name}\"\n", env.path().display())).collect();
    env.write("primary.toml", &config.replace("[auth]\n", &format!("[auth]\n{lines}")));
    env.start_primary();
    env.apply(directory);
    env
}

/// Changes the settings, and waits until they are in force.
pub fn apply_settings(env: &TestEnv, more: &Value) {
    env.apply(&settings_line(more));
    env.wait_until_fresh();
}
