//! A request is judged when it is answered: what ends while its body arrives has ended.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use sidegate::model::clock;

use crate::support::TIMEOUT;
use crate::support::contract_directory::settings_line;
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_blob;

/// For how long the key is still good when the head of the request is sent.
const LIFETIME: Duration = Duration::from_secs(4);

fn directory_with_a_key_that_expires() -> String {
    let expires_at = clock::wall_time().plus(LIFETIME).to_string();
    let lines = [
        settings_line(&json!({})).trim_end().to_owned(),
        json!({"kind": "storage", "name": "default", "address": "unix:/run/gitaly.sock"}).to_string(),
        json!({"kind": "user", "id": 1, "username": "root", "name": "Root"}).to_string(),
        json!({"kind": "namespace", "id": 1, "type": "user", "path": "root", "name": "root", "owner_id": 1}).to_string(),
        json!({"kind": "project", "id": 1, "namespace_id": 1, "path": "root/p1", "name": "p1", "relative_path": "1.git"}).to_string(),
        json!({"kind": "key", "id": 1, "user_id": 1, "title": "t", "key": format!("ssh-ed25519 {}", key_blob(1)),
               "created_at": "2026-01-31T12:00:00Z", "expires_at": expires_at})
        .to_string(),
    ];
    lines.join("\n") + "\n"
}

/// Sends the head and half of the body, waits until the key has expired, and sends the rest.
fn ask_slowly(env: &TestEnv, socket: &Path) -> String {
    let body = json!({"key_id": 1, "action": "git-upload-pack", "project": "root/p1", "protocol": "ssh", "changes": "_any"}).to_string();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let head = format!(
        "POST /api/v4/internal/allowed HTTP/1.1\r\nHost: unix\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Gitlab-Shell-Api-Request: {}\r\nContent-Length: {}\r\n\r\n",
        env.shell_token(),
        body.len()
    );
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all((head + first).as_bytes()).unwrap();
    let began = Instant::now();
    env.wait_for("the key to expire", || began.elapsed() > LIFETIME);
    stream.write_all(rest.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn a_key_that_expires_while_the_body_arrives_lets_nobody_in() {
    let env = TestEnv::running(&directory_with_a_key_that_expires());
    std::thread::scope(|scope| {
        for socket in [env.sidecar_socket(), env.primary_socket()] {
            let env = &env;
            scope.spawn(move || {
                let response = ask_slowly(env, &socket);
                assert!(!response.starts_with("HTTP/1.1 200"), "{}: {response}", socket.display());
                assert!(response.contains(r#""status":false"#), "{}: {response}", socket.display());
            });
        }
    });
}
