//! What a mirror of a large GitLab takes: memory at its highest after the first walk, with a snapshot for hosts, and after the second walk.

use std::thread;
use std::time::{Duration, Instant};

use crate::mirror::MirrorEnv;
use crate::support::env::SHELL_SECRET;
use crate::support::gitlab_api::GitlabApi;
use crate::support::gitlab_api::instance::generated;
use crate::support::gitlab_api::instance::rest::ApiVersion;
use crate::support::http::Request;

/// How long a walk may take.
const LONGEST_WALK: Duration = Duration::from_secs(3600);

/// Waits as [`MirrorEnv::wait_for`] does, for as long as a walk of a large GitLab takes.
fn wait_long_for(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < LONGEST_WALK, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(250));
    }
}

/// Started by `tests/mirror_load`.
#[test]
#[ignore = "takes minutes, and prints figures: tests/mirror_load"]
fn print_the_memory_of_a_mirror() {
    let users = std::env::var("SIDEGATE_LOAD_USERS").ok().and_then(|users| users.parse().ok()).unwrap_or(100_000);
    let instance = generated::instance(1, users, users * 3 / 2);
    let mut mirror = MirrorEnv::prepare(GitlabApi::on_tcp("", ApiVersion::V17, SHELL_SECRET, instance), "", "");
    mirror.env.replace_in_file("mirror.toml", "requests_per_second = 2000", "requests_per_second = 10000");
    mirror.start_mirror();
    let mut requests = 0;
    let print = |mirror: &MirrorEnv, step: &str, requests: usize, begun: Instant| {
        let [now, highest] = mirror.mirror.as_ref().unwrap().memory_kib().map(|kib| kib / 1024);
        let (status, took) = (mirror.status(), begun.elapsed().as_secs());
        eprintln!(
            "| {step} | {took} | {requests} | {} | {} | {} | {now} | {highest} |",
            status["users"], status["keys"], status["head"]["seq"]
        );
    };
    eprintln!("| step | seconds | requests | users | keys | commits | memory MiB | at its highest MiB |");
    eprintln!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    print(&mirror, "started", requests, Instant::now());
    let begun = Instant::now();
    wait_long_for("the first walk", || mirror.status()["serves_feed"] == true);
    requests += mirror.gitlab.take_arrivals().len();
    print(&mirror, "first walk", requests, begun);
    let begun = Instant::now();
    let snapshot = Request::get("/api/v4/internal/sidegate/snapshot");
    assert_eq!(snapshot.header("Sidegate-Sync-Request", &mirror.env.sync_token("ssh-1")).send(&mirror.socket()).status, 200);
    print(&mirror, "a snapshot", 0, begun);
    let begun = Instant::now();
    assert_eq!(Request::post("/-/admin/accept-loss", &serde_json::json!({})).send(&mirror.socket()).status, 200);
    wait_long_for("the second walk", || mirror.full_walks() == 2);
    print(&mirror, "second walk", mirror.gitlab.take_arrivals().len(), begun);
    mirror.crash_mirror();
    print(&mirror, "restarted", 0, Instant::now());
}
