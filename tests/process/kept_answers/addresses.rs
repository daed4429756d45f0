//! A GitLab at two addresses, in each state of the first: nobody listens, it hangs, it ends in the middle, and it comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sidegate::model::clock;

use crate::kept_answers::gitlab::{discover, push, source_of};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest, json_response};
use crate::support::http::{Request, Response};

/// A sidecar in front of the two, of which a test starts the ones it wants.
struct TwoAddresses {
    env: TestEnv,
}

impl TwoAddresses {
    fn new(config: &str) -> Self {
        let env = TestEnv::with_config("", config);
        let [first, second] = ["first", "second"].map(|name| format!("\"http+unix://{}/{name}.sock\"", env.path().display()));
        env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"\ntimeout = \"1500ms\"\nforward_timeout = \"3s\"");
        let one = format!("url = \"http+unix://{}/primary.sock\"", env.path().display());
        env.replace_in_file("sidegate.toml", &one, &format!("url = [{first}, {second}]"));
        Self { env }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.env.path().join(format!("{name}.sock"))
    }

    /// Lets one listen that answers everything.
    fn listen(&self, name: &str) -> FakePrimary {
        FakePrimary::listen(&self.path(name), |arrived| FakeReply::Respond(answer(arrived)))
    }

    fn ask(&self, request: Request) -> Response {
        self.env.request_sidecar(request)
    }

    fn address(&self, index: usize) -> Value {
        self.env.status()["primary"]["addresses"][index].clone()
    }

    fn wait_for_state(&self, index: usize, state: &str) {
        self.env.wait_for("the state of an address", || self.address(index)["state"] == state);
    }
}

fn answer(arrived: &RecordedRequest) -> Vec<u8> {
    let line = &arrived.request_line;
    let body = if line.contains("/allowed") {
        json!({"status": true, "gl_project_path": "g/p", "gl_repository": "project-9", "gl_project_id": 9})
    } else {
        json!({"id": line.split(['=', '&', ' ']).nth(2).and_then(|id| id.parse().ok()).unwrap_or(1_u64), "username": "person", "name": "Person"})
    };
    json_response(200, &body.to_string())
}

/// A write, with a body that is passed on as it comes.
fn write() -> Request {
    Request::post("/api/v4/internal/post_receive", &json!({"gl_repository": "project-9", "changes": "x".repeat(100_000)}))
}

#[test]
fn what_cannot_be_sent_to_the_first_address_is_sent_to_the_second_once_and_the_first_is_left_out_until_it_answers() {
    let mut site = TwoAddresses::new("");
    let second = site.listen("second");
    site.env.start_sidecar();
    assert_eq!((site.address(0)["state"].clone(), site.address(1)["state"].clone()), (json!("not asked yet"), json!("not asked yet")));
    let written = site.ask(write());
    assert_eq!((written.status, written.header("x-sidegate-answer")), (200, Some("forwarded")), "{}", written.text());
    let arrived = second.take_requests();
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].body.len() > 100_000 && arrived[0].is_signed(), "the whole of it");
    assert_eq!(source_of(&site.ask(discover(7))), "forwarded");
    assert_eq!(second.take_requests().len(), 1);

    site.wait_for_state(0, "fails");
    let status = site.env.status();
    assert_eq!((&status["primary"]["breaker"], &status["primary"]["failing_since"]), (&json!("closed"), &Value::Null));
    assert!(status["primary"]["addresses"][0]["failure"].as_str().unwrap().contains("first.sock"), "{status}");
    let log = site.env.logs();
    assert!(log.contains(&format!("primary at {} stopped answering", site.path("first").display())), "{log}");
    let metrics = site.ask(Request::get("/-/metrics")).text();
    for line in [
        format!("sidegate_primary_address_failing{{address=\"{}\"}} 1", site.path("first").display()),
        format!("sidegate_primary_address_failing{{address=\"{}\"}} 0", site.path("second").display()),
        "sidegate_primary_probe_failing 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    let printed = site.env.run_sidegate(&["status", "--socket", site.env.sidecar_socket().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("first.sock: has not answered since"), "{printed:?}");

    let first = site.listen("first");
    site.wait_for_state(0, "answers");
    for key in 100..110 {
        assert_eq!(source_of(&site.ask(discover(key))), "forwarded");
    }
    assert_eq!((first.take_requests().len(), second.take_requests().len()), (10, 0), "its return brings each question once");
}

#[test]
fn a_write_that_may_have_reached_the_first_address_is_never_sent_to_the_second_and_a_question_is() {
    let mut site = TwoAddresses::new("");
    let first = FakePrimary::listen(&site.path("first"), |_| FakeReply::RespondAndClose(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()));
    let second = site.listen("second");
    site.env.start_sidecar();
    for round in 1..=5 {
        let answered = site.ask(write());
        assert_eq!(
            (answered.status, first.take_requests().len(), second.take_requests().len()),
            (501, 1, 0),
            "{round}: {}",
            answered.text()
        );
    }
    // It may create its project.
    let answered = site.ask(push(7, "g/p"));
    assert_eq!((answered.status, first.take_requests().len(), second.take_requests().len()), (424, 1, 0), "{}", answered.text());
    assert_eq!(source_of(&site.ask(discover(7))), "forwarded");
    assert_eq!((first.take_requests().len(), second.take_requests().len()), (1, 1));
    site.wait_for_state(0, "answers");
    assert_eq!(site.env.status()["primary"]["breaker"], "closed", "it answers the probe");
}

#[test]
fn a_push_beside_a_kept_yes_is_not_sent_to_the_second_address_either() {
    let mut site = TwoAddresses::new("[freshness]\npush_precheck = { ttl = \"1ms\", max_stale = \"2h\" }\n");
    let is_broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&is_broken);
    let first = FakePrimary::listen(&site.path("first"), move |arrived| match breaks.load(Ordering::SeqCst) {
        true => FakeReply::RespondAndClose(b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec()),
        false => FakeReply::Respond(answer(arrived)),
    });
    let second = site.listen("second");
    site.env.start_sidecar();
    assert_eq!(source_of(&site.ask(push(7, "g/p"))), "forwarded");
    assert_eq!(first.take_requests().len(), 1);
    let kept_since = clock::boot_time();
    site.env.wait_for("the kept yes to be stale", || clock::boot_time().since(kept_since) > Duration::from_millis(2));
    is_broken.store(true, Ordering::SeqCst);
    assert_eq!(source_of(&site.ask(push(7, "g/p"))), "cached degraded");
    assert_eq!((first.take_requests().len(), second.take_requests().len()), (1, 0));
}

#[test]
fn a_first_address_that_hangs_costs_a_write_its_answer_and_a_question_only_its_share_of_the_time() {
    let mut site = TwoAddresses::new("");
    let first = FakePrimary::listen_with_probe(&site.path("first"), |_| FakeReply::Hang);
    let second = site.listen("second");
    site.env.start_sidecar();
    assert_eq!(source_of(&site.ask(discover(7))), "forwarded");
    assert_eq!((first.take_requests().len(), second.take_requests().len()), (1, 1));
    site.wait_for_state(0, "fails");
    assert_eq!(source_of(&site.ask(discover(8))), "forwarded");
    assert_eq!((site.ask(write()).status, first.count(), second.take_requests().len()), (200, 0, 2), "nothing is sent to it");

    // Another one in its place, which answers the probe and hangs at writes.
    let first = FakePrimary::listen(&site.path("first"), |_| FakeReply::Hang);
    site.wait_for_state(0, "answers");
    let answered = site.ask(write());
    assert_eq!((answered.status, first.take_requests().len(), second.take_requests().len()), (501, 1, 0), "{}", answered.text());
}

#[test]
fn the_primary_fails_while_all_its_addresses_do_and_is_back_with_the_first_that_is() {
    let mut site = TwoAddresses::new("[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"2h\" }\n");
    let fails = Arc::new(AtomicBool::new(false));
    let second = FakePrimary::listen_with_probe(&site.path("second"), {
        let fails = Arc::clone(&fails);
        move |arrived| match fails.load(Ordering::SeqCst) {
            true => FakeReply::RespondAndClose(Vec::new()),
            false if arrived.is_probe() => FakeReply::Respond(json_response(404, "{\"message\":\"404 Key Not Found\"}")),
            false => FakeReply::Respond(answer(arrived)),
        }
    });
    site.env.start_sidecar();
    assert_eq!(source_of(&site.ask(discover(7))), "forwarded");
    site.wait_for_state(0, "fails");
    fails.store(true, Ordering::SeqCst);
    site.env.wait_for("the breaker to open", || {
        site.ask(discover(8));
        site.env.status()["primary"]["breaker"] == "open"
    });
    assert_eq!(source_of(&site.ask(discover(7))), "cached degraded");
    second.take_requests();
    let answered = site.ask(write());
    assert_eq!((answered.status, second.count()), (424, 0), "nothing is sent: {}", answered.text());
    let failure = site.env.status()["primary"]["failure"].as_str().unwrap().to_owned();
    assert!(failure.contains("first.sock: ") && failure.contains("second.sock: "), "{failure}");
    fails.store(false, Ordering::SeqCst);
    site.wait_for_state(1, "answers");
    assert_eq!(source_of(&site.ask(discover(9))), "forwarded");
    assert_eq!((site.address(0)["state"].clone(), second.take_requests().len()), (json!("fails"), 1));
}
