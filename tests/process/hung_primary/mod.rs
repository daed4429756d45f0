//! A primary that hangs, is slow, or comes back: nobody whom this host knows waits for it, and nobody is told anything else than what is.
//!
//! The link between host and primary holds what the test says; the host's own probe passes it like any question.

mod soak;

use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_directory, contract_key_blob, discover, pull, push};
use crate::support::env::TestEnv;
use crate::support::fake_primary::{FakePrimary, FakeReply, RecordedRequest, json_response};
use crate::support::http::{Request, Response};
use crate::support::link::{Delivery, Link, Traffic, start_linked};

const KEYS: &str = "/internal/authorized_keys";
const WRITE: &str = "/api/v4/internal/two_factor_recovery_codes";
/// All that is held is stale, and too old for anybody not to wait for a primary that may answer.
const ALWAYS_STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"1h\" }\nreads = { ttl = \"1ms\", max_stale = \"1h\" }\n\
                            push_precheck = { ttl = \"1ms\", max_stale = \"1h\" }\n";
/// What is held is stale soon, and young enough for a long time.
const SOON_STALE: &str = "[freshness]\nkeys = { ttl = \"6s\", max_stale = \"1h\" }\nreads = { ttl = \"6s\", max_stale = \"1h\" }\n\
                          push_precheck = { ttl = \"6s\", max_stale = \"1h\" }\n";

/// A primary, a host that has caught up with it, and the link between them.
fn linked(freshness: &str) -> (TestEnv, Link) {
    start_linked(TestEnv::with_config("", freshness), &contract_directory(&json!({})))
}

/// The same with a feed that is held, and keys that have become stale by it.
fn linked_with_stale_keys() -> (TestEnv, Link) {
    let (env, link) = linked(SOON_STALE);
    link.deliver(Traffic::Feed, Delivery::Held);
    env.wait_for("the keys to be stale", || env.status()["freshness"]["keys"]["state"] == "stale");
    (env, link)
}

fn look_up(key: u64) -> ApiCall {
    ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(key))
}

fn ask(env: &TestEnv, call: &ApiCall) -> Response {
    env.request_sidecar(call.to_json_request())
}

fn assert_held_yes(response: &Response) {
    let header = |name| response.header(name);
    assert_eq!((response.status, header("x-sidegate-answer")), (200, Some("local")), "{}", response.text());
    assert_eq!(header("x-sidegate-degraded"), Some("primary-unreachable"), "{}", response.text());
}

fn wait_for_breaker(env: &TestEnv, state: &str) {
    env.wait_for(&format!("the breaker to be {state}"), || env.status()["primary"]["breaker"] == state);
}

fn failed_probes(env: &TestEnv) -> u64 {
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("sidegate_primary_probes_total{outcome=\"failed\"} "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_primary_that_hangs_is_found_by_the_host_itself_and_nobody_s_login_is_the_probe() {
    let (env, link) = linked(ALWAYS_STALE);
    link.deliver_all(Delivery::Held);
    wait_for_breaker(&env, "open");
    let asked = || link.count_requests(KEYS) + link.count_requests("/internal/allowed");
    let before = asked();
    let (probes, mut rounds) = (failed_probes(&env), 0);
    while failed_probes(&env) < probes + 3 || rounds < 20 {
        assert_held_yes(&ask(&env, &look_up(104)));
        assert_held_yes(&ask(&env, &pull("developer", "team/private")));
        rounds += 1;
    }
    assert_eq!(asked() - before, 0, "nothing of theirs is sent to a primary that does not answer");
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.contains("sidegate_primary_probe_failing 1"), "{metrics}");
}

#[test]
fn back_means_back_also_on_a_host_where_nobody_asks() {
    let (env, link) = linked(ALWAYS_STALE);
    let mut outages = Vec::new();
    for _ in 0..2 {
        link.deliver_all(Delivery::Held);
        wait_for_breaker(&env, "open");
        let since = env.status()["primary"]["failing_since"].as_str().unwrap().to_owned();
        let refused = ask(&env, &pull("outsider", "team/none")).message();
        assert!(refused.contains(&format!("has not answered since {}", since[..19].replace('T', " "))), "{refused}");
        outages.push(since);
        link.deliver_all(Delivery::Prompt);
        wait_for_breaker(&env, "closed");
        assert_eq!(env.status()["primary"]["failing_since"], Value::Null);
        assert_eq!(ask(&env, &pull("outsider", "team/none")).status, 404, "{}", env.logs());
    }
    assert!(outages[0] < outages[1], "since this outage began, and not the one before: {outages:?}");
    let log = env.logs();
    assert!(log.contains("primary stopped answering: ") && log.contains("primary answers again after "), "{log}");
}

#[test]
fn a_primary_that_stands_still_and_goes_on_is_found_to_be_back() {
    let (env, _link) = linked(ALWAYS_STALE);
    let primary = env.primary.as_ref().unwrap();
    primary.signal(Signal::SIGSTOP);
    wait_for_breaker(&env, "open");
    assert_held_yes(&ask(&env, &look_up(104)));
    primary.signal(Signal::SIGCONT);
    wait_for_breaker(&env, "closed");
    assert_eq!(ask(&env, &look_up(104)).header("x-sidegate-answer"), Some("forwarded"));
}

#[test]
fn a_held_yes_is_given_while_the_question_goes_on() {
    let (env, link) = linked_with_stale_keys();
    for (path, call) in [
        (KEYS, look_up(104)),
        ("/internal/discover", discover("developer")),
        ("/internal/allowed", pull("developer", "team/private")),
        ("/internal/allowed", push("developer", "team/private")),
    ] {
        link.hold_answers(path, 1);
        let response = ask(&env, &call);
        assert_held_yes(&response);
        assert_eq!(env.status()["primary"]["questions_under_way"], 1, "{path}: the question goes on");
        link.wait_held(1);
        link.release_held();
        env.wait_for("the answer to arrive", || env.status()["primary"]["questions_under_way"] == 0);
    }
    assert_eq!(env.status()["primary"]["answers_hedged"], 4);
    assert_eq!(env.status()["primary"]["late_denials"], 0, "its yes changes nothing");
    assert_eq!(ask(&env, &look_up(104)).header("x-sidegate-answer"), Some("forwarded"), "a primary that answers in time is heard");
}

#[test]
fn a_no_that_comes_late_refuses_the_local_yes_until_the_feed_has_caught_up() {
    let (env, link) = linked_with_stale_keys();
    // The host does not hear of it: only questions pass.
    for body in [("/-/admin/revoke-key", json!({"id": 104})), ("/-/admin/block-user", json!({"username": "reporter"}))] {
        assert_eq!(Request::post(body.0, &body.1).send(&env.primary_socket()).status, 200);
    }
    let cases = [
        (KEYS, look_up(104), vec![look_up(104), discover("key:104")]),
        ("/internal/allowed", pull("reporter", "team/private"), vec![pull("reporter", "team/private"), pull("reporter", "team/public")]),
    ];
    for (path, question, _) in &cases {
        link.hold_answers(path, 1);
        assert_held_yes(&ask(&env, question));
        link.wait_held(1);
        let before = env.status()["primary"]["late_denials"].as_u64().unwrap();
        link.release_held();
        env.wait_for("the no to count", || env.status()["primary"]["late_denials"] == before + 1);
    }
    link.deliver(Traffic::Questions, Delivery::Cut);
    wait_for_breaker(&env, "open");
    for call in cases.iter().flat_map(|(_, _, denied)| denied) {
        let response = ask(&env, call);
        assert_eq!(response.status, 424, "{}\n{}", response.text(), env.logs());
    }
    assert_held_yes(&ask(&env, &look_up(101)));
    link.deliver_all(Delivery::Prompt);
    env.wait_until_fresh();
    wait_for_breaker(&env, "closed");
    assert_eq!(ask(&env, &look_up(104)).status, 404);
    assert_eq!(ask(&env, &pull("reporter", "team/private")).status, 401);
}

#[test]
fn an_operator_can_end_what_a_late_no_refuses() {
    let (env, link) = linked_with_stale_keys();
    assert_eq!(Request::post("/-/admin/revoke-key", &json!({"id": 104})).send(&env.primary_socket()).status, 200);
    assert_eq!(ask(&env, &look_up(104)).status, 404, "a no that comes in time counts as well");
    link.deliver(Traffic::Questions, Delivery::Cut);
    wait_for_breaker(&env, "open");
    assert_eq!(ask(&env, &look_up(104)).status, 424);
    let answer = Request::post("/-/admin/invalidate", &json!({"what": "all"})).send(&env.sidecar_socket());
    assert!(answer.json()["denials"].as_u64() > Some(0), "{}", answer.text());
    assert_held_yes(&ask(&env, &look_up(104)));
}

#[test]
fn writes_are_refused_at_once_while_the_probe_fails_and_not_where_a_question_is_slow() {
    let (env, link) = linked(ALWAYS_STALE);
    let write = || ask(&env, &ApiCall::post(WRITE).with("key_id", 104));
    link.hold_answers(KEYS, 1);
    thread::scope(|scope| {
        let slow = scope.spawn(|| ask(&env, &look_up(104)));
        link.wait_held(1);
        let answer = write();
        assert_eq!((answer.status, answer.header("x-sidegate-answer")), (200, Some("forwarded")), "{}", answer.text());
        link.release_held();
        slow.join().unwrap();
    });
    let sent = link.count_requests(WRITE);
    link.deliver_all(Delivery::Held);
    wait_for_breaker(&env, "open");
    let answer = write();
    assert_eq!(answer.status, 424, "{}", answer.text());
    let message = answer.message();
    assert!(
        message.starts_with("The Git server's application has not answered since ") && message.contains("did not take effect"),
        "{message}"
    );
    assert_eq!(link.count_requests(WRITE), sent, "nothing was sent");
}

#[test]
fn who_waits_for_a_turn_is_told_of_the_primary_as_soon_as_it_is_found_not_to_answer() {
    let mut env = TestEnv::with_config("", "[limits]\nforwards = 4\n");
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let _fake = FakePrimary::listen_with_probe(&env.primary_socket(), |_| FakeReply::Hang);
    env.start_sidecar();
    let write = || ask(&env, &ApiCall::post(WRITE).with("key_id", 1));
    thread::scope(|scope| {
        let writes: Vec<_> = (0..5).map(|_| scope.spawn(write)).collect();
        env.wait_for("three to be refused", || writes.iter().filter(|write| write.is_finished()).count() == 3);
        assert_eq!(env.status()["primary"]["questions_under_way"], 2, "two were sent before, and their fate is not known");
        env.sidecar.as_ref().unwrap().signal(Signal::SIGKILL);
        let refused: Vec<Response> = writes.into_iter().filter_map(|write| write.join().ok()).collect();
        assert_eq!(refused.len(), 3);
        for answer in refused {
            let expected = "The Git server's application has not answered since ";
            assert!(answer.status == 424 && answer.message().starts_with(expected), "{}", answer.text());
        }
    });
}

#[test]
fn a_question_that_the_primary_fails_at_opens_the_breaker_for_nobody() {
    let mut env = TestEnv::new();
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"none\"");
    let _fake = FakePrimary::listen(&env.primary_socket(), |arrived: &RecordedRequest| {
        let answer = match arrived.request_line.as_str() {
            line if line.contains("key_id=666") => json_response(500, "{\"message\":\"boom\"}"),
            line if line.contains("/allowed") => json_response(422, "{\"message\":\"no status\"}"),
            line if line.contains("/discover") => json_response(200, "{\"id\":7,\"username\":\"zoe\",\"name\":\"Zoe\"}"),
            _ => json_response(200, "{}"),
        };
        FakeReply::Respond(answer)
    });
    env.start_sidecar();
    for _ in 0..6 {
        for call in [discover("key:666"), pull("key:7", "a/b")] {
            let answer = ask(&env, &call);
            assert_eq!(answer.status, 424, "{}", answer.text());
            assert!(answer.message().starts_with("The Git server's application did not answer this request."), "{}", answer.text());
        }
        assert_eq!(ask(&env, &discover("key:7")).status, 200, "{}", env.logs());
    }
    let primary = &env.status()["primary"];
    assert_eq!((&primary["breaker"], &primary["failing_since"]), (&json!("closed"), &Value::Null));
    assert!(!env.logs().contains("primary stopped answering"), "{}", env.logs());
}

#[test]
fn what_a_person_reads_fits_what_they_asked() {
    let (mut env, _link) = linked(ALWAYS_STALE);
    env.primary.as_mut().unwrap().kill();
    wait_for_breaker(&env, "open");
    let message = |call: ApiCall| {
        let answer = ask(&env, &call);
        assert_eq!(answer.status, 424, "{}", answer.text());
        answer.message()
    };
    let read = message(pull("outsider", "team/private"));
    assert!(read.contains("This host cannot decide your request alone") && !read.contains("reads"), "{read}");
    let pushed = message(push("outsider", "team/private"));
    assert!(pushed.contains("Writes need it"), "{pushed}");
    let login = message(look_up(9999));
    assert!(login.contains("not known on this host"), "{login}");
    let after = message(ApiCall::post("/api/v4/internal/post_receive").with("gl_repository", "project-1"));
    assert!(after.contains("Your push itself is done and stored") && !after.contains("did not take effect"), "{after}");
}

#[test]
fn the_bound_that_is_printed_has_three_parts() {
    let (env, _link) = linked(SOON_STALE);
    let (status, _) = env.status_screen();
    let expected = "given without asking up to 6 s, while the primary is slower than 150 ms up to 1 min, while it fails up to 1 h";
    assert!(status.contains(expected), "{status}");
}
