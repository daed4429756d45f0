//! Large bodies of callers with a good token: memory stays bounded whatever the bodies are made of, each is refused or answered with a
//! message, and whoever looks up a key meanwhile is answered.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::support::contract_directory;
use crate::support::env::{Daemon, TestEnv};
use crate::support::http::{Request, Response};

const BODY_BYTES: usize = 16 << 20;
/// The default of `limits.proven_body_bytes`.
const BODY_BUDGET_KIB: u64 = 256 << 10;
/// What a daemon may grow by, in KiB: the budget, and half as much for what handlers, buffers and the allocator hold beside it.
const MAX_GROWTH_KIB: u64 = BODY_BUDGET_KIB * 3 / 2;
/// How many send each body at once.
const CALLERS: usize = 4;
const ALLOWED: &str = "/api/v4/internal/allowed";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A body of nearly the size that a push may have, made of one thing again and again.
fn repeated(start: &str, shape: &str, end: &str) -> Vec<u8> {
    let count = (BODY_BYTES - start.len() - end.len()) / shape.len();
    [start.as_bytes(), shape.repeat(count).as_bytes(), end.as_bytes()].concat()
}

/// Bodies that are small until they are decoded, each with its type.
fn hostile_bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let many_objects: Vec<String> = (0..900).map(|name| format!("\"n{name}\":[{}0]", "{\"\":1},".repeat(2_000))).collect();
    vec![
        ("objects", JSON, repeated("{\"changes\":[", "{\"\":1},", "{}]}")),
        ("objects in lists within their bounds", JSON, format!("{{{}}}", many_objects.join(",")).into_bytes()),
        ("lists that never close", JSON, repeated("", "[", "")),
        ("lists of one", JSON, repeated("{\"changes\":[", "[1],", "[]]}")),
        ("numbers", JSON, repeated("{\"changes\":[1", ",1", "]}")),
        ("texts", JSON, repeated("{\"changes\":[\"\"", ",\"\\u0000\"", "]}")),
        ("escapes", JSON, repeated("{\"key_id\":104,\"project\":\"team/private\",\"changes\":\"", "\\u0000", "\"}")),
        ("one name twice", JSON, {
            let name = "n".repeat(BODY_BYTES / 2 - 16);
            format!("{{\"{name}\":1,\"{name}\":1}}").into_bytes()
        }),
        ("a form's list", FORM, repeated("a[]=", "&a[]=", "")),
        ("a form's objects", FORM, repeated("a[b][c][d]=", "&a[][b][c][d]=", "")),
        ("a form's brackets", FORM, repeated("a", "[]", "=1")),
        ("a form's changes", FORM, repeated("key_id=104&project=team/private&changes=", "%00", "")),
        ("parts", "multipart/form-data; boundary=x", repeated("--x\r\n\r\n", "--x\r\n", "--x--")),
    ]
}

/// Looks one key up again and again until the work is done; returns how often a second it was found.
fn lookups_during(env: &TestEnv, socket: &Path, work: impl FnOnce() + Send) -> f64 {
    let (done, found) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Also where the work fails: nobody may wait for it for ever.
            let _done = SetWhenDropped(&done);
            work();
        });
        while !done.load(Ordering::Relaxed) {
            let request = Request::get("/api/v4/internal/discover?key_id=104").header("Gitlab-Shell-Api-Request", &env.shell_token());
            let answer = request.send(socket);
            assert_eq!(answer.status, 200, "{}\n{}", answer.text(), env.logs());
            found.fetch_add(1, Ordering::Relaxed);
        }
    });
    found.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn send_body(env: &TestEnv, socket: &Path, content_type: &str, body: &[u8]) -> Response {
    let request = Request::new("POST", ALLOWED).header("Content-Type", content_type);
    request.header("Gitlab-Shell-Api-Request", &env.shell_token()).body(body).send(socket)
}

fn assert_refused(what: &str, answer: &Response) {
    assert!((400..500).contains(&answer.status) && !answer.message().is_empty(), "{what}: {} {}", answer.status, answer.text());
}

fn assert_bounded(env: &TestEnv, name: &str, socket: &Path, daemon: &Daemon) {
    let before = daemon.memory_kib()[1];
    // As many requests that are answered at once, one after the other.
    let idle = lookups_during(env, socket, || {
        for _ in 0..200 {
            assert_refused("a small body", &send_body(env, socket, JSON, b"[]"));
        }
    });
    let mut figures = Vec::new();
    for (what, content_type, body) in hostile_bodies() {
        let found = lookups_during(env, socket, || {
            std::thread::scope(|scope| {
                for _ in 0..CALLERS {
                    scope.spawn(|| assert_refused(&format!("{name}: {what}"), &send_body(env, socket, content_type, &body)));
                }
            });
        });
        let peak = daemon.memory_kib()[1];
        assert!(peak <= before + MAX_GROWTH_KIB, "{name}: {what}: memory grew from {before} to {peak} KiB\n{}", env.logs());
        assert!(found > idle / 50.0, "{name}: {what}: {found:.0} look-ups a second, {idle:.0} when idle");
        figures.push(format!("{what}: {found:.0}/s, peak {peak} KiB"));
    }
    let push = json!({"key_id": 104, "project": "team/private", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let mut padded = push.to_string().into_bytes();
    padded.resize(BODY_BYTES, b' ');
    assert_eq!(send_body(env, socket, JSON, &padded).status, 200, "all memory is given back, and a good body of this size is taken");
    eprintln!("{name}: idle {idle:.0}/s, peak before {before} KiB\n  {}", figures.join("\n  "));
}

#[test]
fn bodies_of_authenticated_callers_take_bounded_memory_and_delay_no_lookup() {
    let env = TestEnv::running(&contract_directory::contract_directory(&json!({})));
    assert_bounded(&env, "sidecar", &env.sidecar_socket(), env.sidecar.as_ref().unwrap());
    assert_bounded(&env, "primary", &env.primary_socket(), env.primary.as_ref().unwrap());
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.lines().any(|line| line.starts_with("sidegate_refusals_total{kind=\"no_room\"") && !line.ends_with(" 0")), "{metrics}");
    assert!(!env.logs().contains("panicked"), "{}", env.logs());
    assert_eq!(env.status()["primary"]["breaker"], "closed", "{}", env.logs());
}

/// The body that a believed caller sends with the secret as a parameter is sent on without it, whatever its size.
#[test]
fn a_large_push_with_the_secret_as_a_parameter_is_sent_on_without_it() {
    let env = TestEnv::running(&contract_directory::contract_directory(&json!({})));
    let changes = format!("{} {} refs/heads/main\n", "0".repeat(40), "1".repeat(40)).repeat(20_000);
    for protocol in ["ssh", "http"] {
        let body = json!({"key_id": 104, "project": "team/private", "action": "git-receive-pack", "protocol": protocol, "changes": changes,
            "secret_token": env.shared_secret()});
        let through = Request::post(ALLOWED, &body).send(&env.sidecar_socket());
        let direct = Request::post(ALLOWED, &body).send(&env.primary_socket());
        assert_eq!((through.status, through.text()), (direct.status, direct.text()), "{protocol}");
    }
}
