//! Sockets that systemd hands over. Over TCP the kernel says nothing of who calls, so there the shared secret is not believed and nobody has
//! more than a token shows.

use std::net::{SocketAddr, TcpListener};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::env::{Daemon, TestEnv};
use crate::support::generated_directory::{directory_of_keys, key_blob};
use crate::support::http::Request;
use crate::support::lookup::lookup_request;

/// Starts a daemon with a TCP socket as the one that systemd hands over.
fn start_with_tcp_socket(env: &TestEnv, command: &str, config: &str) -> (Daemon, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (env.start_daemon_with_socket(command, config, listener.into()), address)
}

fn assert_only_a_token_counts(env: &TestEnv, address: SocketAddr) {
    let (secret, encoded) = (env.shared_secret(), STANDARD.encode(env.shared_secret()));
    let check = "/api/v4/internal/check";
    let post = "/api/v4/internal/two_factor_config";
    for (what, request) in [
        ("in its header", Request::get(check).header("Gitlab-Shared-Secret", &encoded)),
        ("in the query", Request::get(&format!("{check}?secret_token={secret}"))),
        ("in JSON", Request::post(post, &json!({"secret_token": secret, "key_id": 1}))),
        ("in a form", Request::post_form(post, &format!("secret_token={encoded}&key_id=1"))),
        ("not at all", Request::get(check)),
    ] {
        let response = request.send_tcp(address);
        assert_eq!(response.status, 401, "the secret {what}: {}", response.text());
    }
    let blob = key_blob(1);
    let known_as = |request: Request| request.header("Gitlab-Shell-Api-Request", &env.shell_token()).send_tcp(address).status;
    assert!(matches!(lookup_request(&blob).send_tcp(address).status, 401 | 403), "there is no user who could have the scope `keys`");
    for target in ["/-/admin/status", "/-/metrics"] {
        assert_eq!(known_as(Request::get(target)), 403, "{target}");
    }
    assert_eq!([known_as(Request::get(check)), known_as(lookup_request(&blob))], [200, 200], "a token is believed anywhere");
}

#[test]
fn the_shared_secret_is_not_believed_on_a_tcp_socket_that_was_handed_over() {
    let mut env = TestEnv::new();
    env.start_primary();
    env.apply(&directory_of_keys(3));
    let (_sidecar, address) = start_with_tcp_socket(&env, "serve", "sidegate.toml");
    assert_only_a_token_counts(&env, address);
    env.primary.as_mut().unwrap().kill();
    let (_primary, address) = start_with_tcp_socket(&env, "primary", "primary.toml");
    assert_only_a_token_counts(&env, address);
}
