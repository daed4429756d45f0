//! The bound holds on a link that is slow, and on a host that stood still: an age counts from when the primary wrote a line, not from when
//! the line was read. The keys' bounds are a few seconds here, so that a test can wait for them to pass.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::env::TestEnv;
use crate::support::generated_directory::directory_of_keys;
use crate::support::http::Request;
use crate::support::link::{Link, start_linked};
use crate::support::lookup::look_up_key;

const MAX_STALE: Duration = Duration::from_secs(6);
const FRESHNESS: &str = "[freshness]\nkeys = { ttl = \"2s\", max_stale = \"6s\" }\nreads = { ttl = \"2s\", max_stale = \"6s\" }\n\
                         push_precheck = { ttl = \"2s\", max_stale = \"6s\" }\n";

/// A primary, a host that has caught up with it, and the link between them.
fn linked() -> (TestEnv, Link) {
    start_linked(TestEnv::with_config("", FRESHNESS), &directory_of_keys(3))
}

fn revoke(env: &TestEnv, id: u64) {
    let response = Request::post("/-/admin/revoke-key", &json!({"id": id})).send(&env.primary_socket());
    assert_eq!(response.status, 200, "{}", response.text());
}

fn wait(env: &TestEnv, time: Duration) {
    let began = Instant::now();
    env.wait_for("time to pass", || began.elapsed() >= time);
}

#[test]
fn lines_that_come_ever_later_keep_no_revoked_key_beyond_its_bound() {
    let (env, link) = linked();
    assert_eq!(look_up_key(&env, 1).status, 200);
    link.delay_ever_more(Duration::from_millis(900), Duration::from_secs(60));
    wait(&env, Duration::from_secs(13));
    revoke(&env, 1);
    let revoked = Instant::now();
    // Longer than the revocation takes on this link: heartbeats from before it still come.
    while revoked.elapsed() < Duration::from_secs(16) {
        let asked = revoked.elapsed();
        let response = look_up_key(&env, 1);
        assert!(
            response.status != 200 || asked <= MAX_STALE,
            "a yes {asked:?} after the revocation, said to be {:?} s old",
            response.header("x-sidegate-age")
        );
    }
}

#[test]
fn a_host_that_stood_still_takes_no_buffered_heartbeat_for_a_new_one() {
    let (env, link) = linked();
    assert_eq!(look_up_key(&env, 1).status, 200);
    let sidecar = env.sidecar.as_ref().unwrap();
    sidecar.signal(Signal::SIGSTOP);
    // Longer than the time between two heartbeats: one waits in the host's socket when the link is cut.
    wait(&env, Duration::from_secs(6));
    link.cut();
    revoke(&env, 1);
    wait(&env, MAX_STALE + Duration::from_secs(1));
    sidecar.signal(Signal::SIGCONT);
    let response = look_up_key(&env, 1);
    assert_eq!(response.status, 424, "the data is older than its bound: {} {:?}", response.text(), response.header("x-sidegate-age"));
}

#[test]
fn a_link_without_a_delay_leaves_what_is_held_fresh() {
    let (env, _link) = linked();
    wait(&env, Duration::from_secs(8));
    let response = look_up_key(&env, 2);
    assert_eq!((response.status, response.header("x-sidegate-answer")), (200, Some("local")), "{}", response.text());
    assert_eq!(response.header("x-sidegate-degraded"), None);
    assert_eq!(env.status()["follower"]["proof"], "exchange");
}
