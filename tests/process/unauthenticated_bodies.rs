//! Large bodies of callers who have shown nothing: memory stays bounded, who shows a token is answered meanwhile, and who sends the secret
//! as a parameter is answered after.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::TIMEOUT;
use crate::support::contract_directory;
use crate::support::env::{Daemon, TestEnv};
use crate::support::http::{Request, Response};

const BODY_BYTES: usize = 16 << 20;
const CALLER_COUNT: usize = 64;
/// The default of `limits.unproven_body_bytes`.
const UNAUTHENTICATED_BODY_BUDGET: usize = 64 << 20;
/// What a daemon may grow by, in KiB: three times that, as its page says, and what the last callers take once they are believed.
const MAX_GROWTH_KIB: u64 = 4 * (64 << 10);
const ALLOWED: &str = "/api/v4/internal/allowed";

/// A caller without a credential who sends a body but for its last byte, and then waits.
struct UnauthenticatedCaller(UnixStream);

impl UnauthenticatedCaller {
    fn connect(socket: &Path, body: &[u8]) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        let head =
            format!("POST {ALLOWED} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // Who is refused may find the connection closed.
        let _ = stream.write_all(&body[..body.len() - 1]);
        Self(stream)
    }

    /// What it was told when it ends where it stands.
    fn finish(mut self) -> Option<Response> {
        let _ = self.0.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        Response::parse(&bytes).ok()
    }
}

fn allowed_body() -> Value {
    json!({"key_id": 104, "project": "team/private", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"})
}

fn peak_memory_kib(daemon: &Daemon) -> u64 {
    daemon.memory_kib()[1]
}

fn assert_memory_bounded(env: &TestEnv, socket: &Path, daemon: &Daemon) {
    let before = peak_memory_kib(daemon);
    let body = vec![b' '; BODY_BYTES];
    let callers: Vec<UnauthenticatedCaller> = std::thread::scope(|scope| {
        let coming: Vec<_> = (0..CALLER_COUNT).map(|_| scope.spawn(|| UnauthenticatedCaller::connect(socket, &body))).collect();
        coming.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let by_token = Request::post(ALLOWED, &allowed_body()).header("Gitlab-Shell-Api-Request", &env.shell_token()).send(socket);
    assert_eq!(by_token.status, 200, "{}", by_token.text());
    let answers: Vec<Response> = callers.into_iter().filter_map(UnauthenticatedCaller::finish).collect();
    let refused = answers.iter().filter(|answer| answer.status == 503 && answer.message().contains("no room")).count();
    assert!(
        refused >= CALLER_COUNT - UNAUTHENTICATED_BODY_BUDGET / BODY_BYTES,
        "{refused} of {CALLER_COUNT} found no room\n{}",
        env.logs()
    );

    // A body that is whole, and whose values would take a hundred times its bytes.
    let mut objects = b"{\"changes\":[".to_vec();
    while objects.len() < BODY_BYTES - 16 {
        objects.extend(b"{\"\":1},");
    }
    objects.extend(b"{}]}");
    let json = |body: &[u8]| Request::new("POST", ALLOWED).header("Content-Type", "application/json").body(body).send(socket);
    // It alone would take more than all of these callers may.
    assert_eq!(json(&objects).status, 413);

    let mut question = allowed_body();
    question["secret_token"] = json!(env.shared_secret());
    let mut large = question.to_string().into_bytes();
    large.resize(BODY_BYTES - 1, b' ');
    // The room of those who left is given back once the daemon has seen them leave.
    env.wait_for("room again", || json(&large).status != 503);
    for _ in 0..2 * UNAUTHENTICATED_BODY_BUDGET / BODY_BYTES {
        let by_parameter = json(&large);
        assert_eq!(by_parameter.status, 200, "{}", by_parameter.text());
    }
    let after = peak_memory_kib(daemon);
    assert!(after <= before + MAX_GROWTH_KIB, "memory grew from {before} to {after} KiB\n{}", env.logs());
    eprintln!("{CALLER_COUNT} bodies of {BODY_BYTES} bytes: the peak of memory in KiB was {before} and is {after}");
}

#[test]
fn unauthenticated_bodies_share_one_memory_budget() {
    let env = TestEnv::running(&contract_directory::contract_directory(&json!({})));
    assert_memory_bounded(&env, &env.sidecar_socket(), env.sidecar.as_ref().unwrap());
    assert_memory_bounded(&env, &env.primary_socket(), env.primary.as_ref().unwrap());
}
