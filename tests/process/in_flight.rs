//! What is under way when access is taken away: a question whose answer the primary has decided and the host does not have yet.
//!
//! The link holds the answer; the feed is another connection and passes. The revocation is in force on the host, which has acknowledged it,
//! before the answer arrives or fails to. All data is stale after a millisecond here, so that every question is asked.

use std::thread;

use serde_json::{Value, json};

use crate::support::contract_case::ApiCall;
use crate::support::contract_directory::{contract_directory, contract_key_blob, discover, lfs, pull, push};
use crate::support::env::TestEnv;
use crate::support::http::{Request, Response};
use crate::support::link::{Delivery, Link, Traffic, start_linked};

const ALWAYS_STALE: &str = "[freshness]\nkeys = { ttl = \"1ms\", max_stale = \"1h\" }\nreads = { ttl = \"1ms\", max_stale = \"1h\" }\n\
                            push_precheck = { ttl = \"1ms\", max_stale = \"1h\" }\nhedge = \"4900ms\"\n";
const KEYS: &str = "/internal/authorized_keys";

/// A primary, a host, and the link between them, with questions that wait long enough for a revocation.
fn linked() -> (TestEnv, Link) {
    let env = TestEnv::with_config("", ALWAYS_STALE);
    env.replace_in_file("sidegate.toml", "feed = \"sidegate\"", "feed = \"sidegate\"\ntimeout = \"4900ms\"");
    start_linked(env, &contract_directory(&json!({})))
}

/// How access is taken away.
#[derive(Clone, Copy, Debug)]
enum Revocation {
    Key(u64),
    User(&'static str),
}

impl Revocation {
    /// Makes it, and returns when the host has acknowledged it.
    fn make(self, env: &TestEnv) {
        let (path, body) = match self {
            Self::Key(id) => ("/-/admin/revoke-key", json!({"id": id, "wait": 30})),
            Self::User(name) => ("/-/admin/block-user", json!({"username": name, "wait": 30})),
        };
        let response = Request::post(path, &body).send(&env.primary_socket());
        assert_eq!(response.json()["in_force"], json!(["ssh-1"]), "{}\n{}", response.text(), env.logs());
    }
}

/// A question with a yes, and what makes it a no.
struct Case {
    name: &'static str,
    call: ApiCall,
    path: &'static str,
    revocation: Revocation,
}

fn look_up(key: u64) -> ApiCall {
    ApiCall::get("/api/v4/internal/authorized_keys").with("key", contract_key_blob(key))
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let change = "1111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/x\n";
    let allowed = "/internal/allowed";
    vec![
        Case { name: "a key", call: look_up(101), path: KEYS, revocation: Revocation::Key(101) },
        Case { name: "the user of a key", call: discover("owner"), path: "/internal/discover", revocation: Revocation::Key(102) },
        Case { name: "a pull", call: pull("reporter", "team/private"), path: allowed, revocation: Revocation::User("reporter") },
        Case { name: "a pull by key", call: pull("key:301", "team/private"), path: allowed, revocation: Revocation::Key(301) },
        Case { name: "a push", call: push("developer", "team/private"), path: allowed, revocation: Revocation::User("developer") },
        Case { name: "real changes", call: push("maintainer", "team/private").with("changes", change), path: allowed,
            revocation: Revocation::User("maintainer") },
        Case { name: "a former path", call: pull("twofactor", "former/place"), path: allowed, revocation: Revocation::User("twofactor") },
        Case { name: "a token for large files", call: lfs("guest", "team/public"), path: "/internal/lfs_authenticate",
            revocation: Revocation::Key(106) },
    ]
}

fn is_yes(response: &Response) -> bool {
    response.status == 200 && response.json() != Value::Null && response.json()["status"] != json!(false)
}

fn ask(env: &TestEnv, call: &ApiCall) -> Response {
    env.request_sidecar(call.to_json_request())
}

/// Asks, takes the access away while the answer is held, and then lets the answer go.
fn ask_during_revocation(env: &TestEnv, link: &Link, case: &Case, let_go: fn(&Link)) -> Response {
    assert!(is_yes(&ask(env, &case.call)), "{} before", case.name);
    link.hold_answers(case.path, 1);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(env, &case.call));
        link.wait_held(1);
        case.revocation.make(env);
        let_go(link);
        asking.join().unwrap()
    })
}

#[test]
fn a_yes_that_was_decided_before_a_revocation_is_not_given_after_it() {
    let (env, link) = linked();
    for case in cases() {
        let response = ask_during_revocation(&env, &link, &case, Link::release_held);
        assert!(!is_yes(&response), "{}: {} {}\n{}", case.name, response.status, response.text(), env.logs());
        assert!(matches!(response.status, 200 | 401 | 404 | 424), "{}: {}", case.name, response.status);
    }
    assert_eq!(env.status()["primary"]["answers_overtaken"], cases().len());
    let metrics = Request::get("/-/metrics").send(&env.sidecar_socket()).text();
    assert!(metrics.contains(&format!("sidegate_overtaken_answers_total {}", cases().len())), "{metrics}");
}

#[test]
fn a_question_that_fails_after_a_revocation_gets_no_yes_from_before_it() {
    let (env, link) = linked();
    for case in cases() {
        let response = ask_during_revocation(&env, &link, &case, Link::fail_held);
        assert!(!is_yes(&response), "{}: {} {}\n{}", case.name, response.status, response.text(), env.logs());
        // Where the link ended, the host asks whether the primary is still there.
        env.wait_for("the primary to be asked again", || env.status()["primary"]["breaker"] == "closed");
        assert!(is_yes(&ask(&env, &look_up(105))));
    }
}

#[test]
fn who_asks_after_a_revocation_does_not_join_a_question_from_before_it() {
    let (env, link) = linked();
    for case in cases() {
        assert!(is_yes(&ask(&env, &case.call)), "{} before", case.name);
        link.hold_answers(case.path, 1);
        thread::scope(|scope| {
            let before = scope.spawn(|| ask(&env, &case.call));
            link.wait_held(1);
            case.revocation.make(&env);
            // The answer to the first is still held: only a question of its own can be answered.
            let after = ask(&env, &case.call);
            assert!(matches!(after.status, 200 | 401 | 404) && !is_yes(&after), "{}: {} {}", case.name, after.status, after.text());
            link.release_held();
            assert!(!is_yes(&before.join().unwrap()), "{}", case.name);
        });
    }
}

#[test]
fn a_revocation_of_somebody_else_costs_a_question_more_and_a_new_grant_none() {
    let (env, link) = linked();
    let call = look_up(104);
    let asked = |meanwhile: &dyn Fn()| {
        let before = link.count_requests(KEYS);
        link.hold_answers(KEYS, 1);
        let response = thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&env, &call));
            link.wait_held(1);
            meanwhile();
            link.release_held();
            asking.join().unwrap()
        });
        assert_eq!((response.status, response.header("x-sidegate-answer")), (200, Some("forwarded")), "{}", response.text());
        link.count_requests(KEYS) - before
    };
    assert_eq!(asked(&|| Revocation::User("outsider").make(&env)), 2);
    let add_grant = || {
        env.apply("{\"kind\":\"share\",\"project_id\":28,\"with_namespace_id\":6,\"access_level\":20}\n");
        env.wait_until_caught_up();
    };
    assert_eq!(asked(&add_grant), 1, "whoever gets access takes none from anybody");
    // Decided after a revocation that the host has not heard of yet, as all are while a host catches up.
    link.deliver(Traffic::Feed, Delivery::Held);
    let response = Request::post("/-/admin/revoke-key", &json!({"id": 108})).send(&env.primary_socket());
    assert_eq!(response.status, 200, "{}", response.text());
    let hear_of_it = || {
        link.deliver(Traffic::Feed, Delivery::Prompt);
        env.wait_until_caught_up();
    };
    assert_eq!(asked(&hear_of_it), 1, "the primary says that it knew of the revocation");
}

#[test]
fn a_kept_token_for_large_files_goes_with_the_epoch() {
    let env = TestEnv::running(&contract_directory(&json!({})));
    let source = || ask(&env, &lfs("owner", "team/private")).header("x-sidegate-answer").map(str::to_owned);
    assert_eq!([source(), source()], [Some("forwarded".to_owned()), Some("cached".to_owned())]);
    let output = env.run_admin(&["new-epoch"]);
    assert!(output.status.success(), "{output:?}");
    env.wait_until_caught_up();
    env.wait_until_fresh();
    assert_eq!(source().as_deref(), Some("forwarded"), "what was given in another epoch is asked for again");
    assert_eq!(source().as_deref(), Some("cached"));
}
