//! A write that the primary made, and died before its answer was out: the caller is told that nobody knows, and the sidecar does not send it
//! again, whatever it thinks of its connection. The primary is a real one, and so is its death; what dies with it is its answer, which a relay
//! between the two keeps to itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::support::contract_directory::{self, ADMIN_TOKEN};
use crate::support::env::{Daemon, TestEnv};
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest};
use crate::support::http::{Request, Response};

const CHECK: &str = "/api/v4/internal/check";

/// What the relay does with the primary's answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseLoss {
    Entire,
    /// Its first bytes come, and no more.
    AfterFirstBytes,
    /// Nothing: it is passed on.
    Nothing,
}

/// What stands between the two.
struct Relay {
    target: PathBuf,
    primary: Mutex<Option<Daemon>>,
    loss: Mutex<ResponseLoss>,
}

impl Relay {
    /// Asks the primary; then kills it, if the answer is to be lost.
    fn relay(&self, arrived: &RecordedRequest) -> FakeReply {
        let answer = forwarded_request(arrived).send(&self.target);
        let lost = *self.loss.lock().unwrap();
        if lost == ResponseLoss::Nothing || arrived.request_line.contains(CHECK) {
            return FakeReply::Respond(encode_response(&answer));
        }
        assert!((200..300).contains(&answer.status), "the primary made it: {}", answer.text());
        self.primary.lock().unwrap().take().unwrap().kill();
        FakeReply::RespondAndClose(if lost == ResponseLoss::AfterFirstBytes {
            b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()
        } else {
            Vec::new()
        })
    }
}

/// Ends the relay's primary with the test: a connection that is still open at the relay would keep it.
struct KillPrimaryOnDrop(Arc<Relay>);

impl Drop for KillPrimaryOnDrop {
    fn drop(&mut self) {
        drop(self.0.primary.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The same request once more, with its own framing.
fn forwarded_request(arrived: &RecordedRequest) -> Request {
    let mut words = arrived.request_line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let framing = ["host", "connection", "content-length", "transfer-encoding"];
    let headers = arrived.headers.iter().filter(|(name, _)| !framing.contains(&name.as_str()));
    headers.fold(Request::new(method, target), |request, (name, value)| request.header(name, value)).body(arrived.body.as_bytes())
}

fn encode_response(answer: &Response) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", answer.status, answer.body.len());
    [head.as_bytes(), &answer.body].concat()
}

/// Writes, and how often each has been made, by what the primary counts.
fn writes() -> Vec<(&'static str, Request)> {
    let shell = |path: &str, body: Value| Request::post(&format!("/api/v4/internal/{path}"), &body);
    let packs = json!({"packs": [{"number_of_minutes": 10, "expires_at": "2099-01-01", "purchase_xid": "x"}]});
    vec![
        ("/personal_access_tokens", shell("personal_access_token", json!({"key_id": 104, "name": "n", "scopes": ["read_user"]}))),
        ("/pushes_under_way/project-10", shell("pre_receive", json!({"gl_repository": "project-10"}))),
        ("/recovery_codes", shell("two_factor_recovery_codes", json!({"key_id": 123}))),
        ("/audit_events", shell("shellhorse/git_audit_event", json!({"action": "git-upload-pack", "gl_repository": "project-10"}))),
        ("/packs_of_minutes", Request::post("/api/v4/namespaces/1/minutes", &packs).header("PRIVATE-TOKEN", ADMIN_TOKEN)),
    ]
}

fn write_count(env: &TestEnv, counter: &str) -> u64 {
    env.primary_status()["kept"].pointer(counter).and_then(Value::as_u64).unwrap_or(0)
}

#[test]
fn a_write_whose_answer_dies_with_the_primary_has_an_unknown_fate_and_was_made_once() {
    let mut env = contract_directory::primary_with_all_credentials("", &contract_directory::contract_directory(&json!({})));
    env.replace_in_file("sidegate.toml", "primary.sock", "relay.sock");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let relay =
        Arc::new(Relay { target: env.primary_socket(), primary: Mutex::new(env.primary.take()), loss: Mutex::new(ResponseLoss::Nothing) });
    let _ends = KillPrimaryOnDrop(Arc::clone(&relay));
    let carries = Arc::clone(&relay);
    let between = FakePrimary::listen(&env.path().join("relay.sock"), move |arrived| carries.relay(arrived));
    env.start_sidecar();
    for lost in [ResponseLoss::Entire, ResponseLoss::AfterFirstBytes] {
        for (counter, write) in writes() {
            let before = write_count(&env, counter);
            // Over a connection that was used: a closed one of those is where a sidecar might send again.
            env.wait_for("the primary to answer", || {
                let answer = env.request_sidecar(Request::get(CHECK));
                (answer.status, answer.header("x-sidegate-answer")) == (200, Some("forwarded"))
            });
            between.take_requests();
            *relay.loss.lock().unwrap() = lost;
            let answer = env.request_sidecar(write);
            assert_eq!(answer.status, 501, "{counter}, lost {lost:?}: {}", answer.text());
            assert!(answer.message().contains("Whether this request took effect is unknown"), "{}", answer.text());
            assert_eq!(between.take_requests().len(), 1, "{counter}, lost {lost:?}: sent once");
            *relay.loss.lock().unwrap() = ResponseLoss::Nothing;
            *relay.primary.lock().unwrap() = Some(env.start_daemon("primary", "primary.toml"));
            // What may be told twice is there once: a pack by its purchase, codes by their person.
            let again = lost == ResponseLoss::AfterFirstBytes && ["/packs_of_minutes", "/recovery_codes"].contains(&counter);
            assert_eq!(write_count(&env, counter), before + u64::from(!again), "{counter}, lost {lost:?}: made once");
        }
    }
    for (counter, write) in writes() {
        let answer = env.request_sidecar(write);
        assert!((200..300).contains(&answer.status), "{counter}: with a primary that lives all is well again: {}", answer.text());
    }
}
