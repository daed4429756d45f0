//! A push that may create its project. The primary has work to do before it answers, so it is waited for longer than for other questions,
//! and that it takes long says nothing about whether it answers.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::json;

use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest, json_response};
use crate::support::generated_directory::key_blob;
use crate::support::http::{Request, Response};
use crate::support::lookup::lookup_request;

const PUSH: &str = "git-receive-pack";

/// A host in front of a primary that is not there yet, with a short time for questions.
fn host_with_limits(limits: &str) -> TestEnv {
    let env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", &format!("feed = \"none\"\ntimeout = \"300ms\"\n{limits}"));
    env
}

fn is_push(arrived: &RecordedRequest) -> bool {
    arrived.body.contains(PUSH)
}

fn ask_for_access(env: &TestEnv, action: &str) -> Response {
    let question = json!({"action": action, "project": "team/new", "changes": "_any", "key_id": 1, "protocol": "ssh"});
    env.request_sidecar(Request::post("/api/v4/internal/allowed", &question))
}

#[test]
fn a_push_to_a_project_that_may_have_to_be_created_is_waited_for() {
    let mut env = host_with_limits("forward_timeout = \"1m\"");
    let (create, created) = mpsc::channel::<()>();
    let created = Mutex::new(created);
    let primary = FakePrimary::listen(&env.primary_socket(), move |arrived| {
        if !is_push(arrived) {
            return FakeReply::Hang;
        }
        let _ended = created.lock().unwrap_or_else(PoisonError::into_inner).recv();
        FakeReply::Respond(json_response(200, "{\"status\":true,\"gl_repository\":\"project-9\"}"))
    });
    env.start_sidecar();
    thread::scope(|scope| {
        let push = scope.spawn(|| ask_for_access(&env, PUSH));
        env.wait_for("the push to arrive", || primary.take_requests().iter().any(is_push));
        let pull = ask_for_access(&env, "git-upload-pack");
        assert_eq!(pull.status, 424, "asked after the push, it has had all of its time: {}", pull.text());
        drop(create);
        let push = push.join().unwrap();
        assert_eq!((push.status, push.json()["status"].as_bool()), (200, Some(true)), "{}", push.text());
    });
}

#[test]
fn a_push_that_the_primary_takes_too_long_for_is_no_failure_of_the_primary() {
    let mut env = host_with_limits("forward_timeout = \"400ms\"");
    let _primary = FakePrimary::listen(&env.primary_socket(), |_| FakeReply::Hang);
    env.start_sidecar();
    let push = ask_for_access(&env, PUSH);
    assert!(push.status == 424 && push.message().contains("did not answer this request"), "{}", push.text());
    assert_eq!(lookup_request(&key_blob(1)).send(&env.sidecar_socket()).status, 424);
    let log = || env.sidecar.as_ref().unwrap().log();
    env.wait_for("the look-up to count", || log().contains("no answer of the primary to authorized_keys: "));
    assert!(!log().contains("no answer of the primary to allowed: "), "{}", log());
    assert!(log().contains("no answer of the primary to allowed, which may take long: "), "{}", log());
}
