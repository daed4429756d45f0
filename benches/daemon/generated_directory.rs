//! Directories to measure with: users with one key and one project each. Keys are made of their number, so that a client can make them too.

use std::io::Write;

use serde_json::json;

use crate::support::generated_directory::{key_blob, query_encode};

/// The directory of `count` users.
pub fn write_directory(count: u64, out: &mut impl Write) {
    let mut line = |record: serde_json::Value| writeln!(out, "{record}").unwrap();
    line(json!({"kind": "settings", "operations_per_minute": 0}));
    line(json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock"}));
    line(json!({"kind": "namespace", "id": 1, "type": "group", "path": "g", "name": "g"}));
    for id in 1..=count {
        line(json!({"kind": "user", "id": id, "username": format!("user{id}"), "name": format!("User {id}")}));
        line(
            json!({"kind": "project", "id": id, "namespace_id": 1, "path": format!("g/p{id}"), "name": "p", "relative_path": format!("{id}.git")}),
        );
        line(json!({"kind": "member", "project_id": id, "user_id": id, "access_level": 30}));
        line(
            json!({"kind": "key", "id": id, "user_id": id, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(id)), "created_at": "2026-01-01T00:00:00Z"}),
        );
    }
}

/// The same as text.
pub fn directory_text(count: u64) -> String {
    let mut text = Vec::new();
    write_directory(count, &mut text);
    String::from_utf8(text).unwrap()
}

/// Users and their keys only.
pub fn write_keys_only(count: u64, out: &mut impl Write) {
    for id in 1..=count / 4 {
        writeln!(out, "{}", json!({"kind": "user", "id": id, "username": format!("user{id}"), "name": format!("User {id}")})).unwrap();
    }
    for id in 1..=count {
        let user = (id - 1) % (count / 4) + 1;
        writeln!(out, "{}", json!({"kind": "key", "id": id, "user_id": user, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(id)), "created_at": "2026-01-01T00:00:00Z"})).unwrap();
    }
}

/// The look-up of a key, with a token.
pub fn lookup_request(number: u64, token: &str, close: bool) -> Vec<u8> {
    let key = query_encode(&key_blob(number));
    let close = if close { "Connection: close\r\n" } else { "" };
    format!("GET /api/v4/internal/authorized_keys?key={key} HTTP/1.1\r\nHost: unix\r\n{close}Gitlab-Shell-Api-Request: {token}\r\n\r\n")
        .into_bytes()
}

/// May the user with a number pull from their project?
pub fn own_project_pull_request(number: u64, token: &str, close: bool) -> Vec<u8> {
    pull_request_bytes(number, &format!("g/p{number}"), token, close)
}

/// May the user with a number pull from the project at a path?
pub fn pull_request_bytes(number: u64, project: &str, token: &str, close: bool) -> Vec<u8> {
    let body = json!({"action": "git-upload-pack", "project": project, "changes": "_any", "protocol": "ssh", "key_id": number.to_string()})
        .to_string();
    let close = if close { "Connection: close\r\n" } else { "" };
    format!(
        "POST /api/v4/internal/allowed HTTP/1.1\r\nHost: unix\r\n{close}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Gitlab-Shell-Api-Request: {token}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
