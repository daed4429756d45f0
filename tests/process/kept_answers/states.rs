//! Which answers are given without asking, in an outage, and not at all: fresh, stale and expired, and each after a restart.

use serde_json::json;

use crate::kept_answers::gitlab::{Mode, Site, access, certificate, discover, look_up, pull, push};
use crate::support::http::Request;

const FRESH: &str = "[freshness]\nkeys = { ttl = \"1h\", max_stale = \"2h\" }\nreads = { ttl = \"1h\", max_stale = \"2h\" }\n\
                     push_precheck = { ttl = \"1h\", max_stale = \"2h\" }\nnegative_ttl = \"60s\"\n";

/// The questions that are kept.
fn kept_questions() -> [(&'static str, Request); 5] {
    [
        ("a key", look_up(7)),
        ("a user", discover(7)),
        ("a pull", pull(7, "g/p")),
        ("an archive", access(&json!({"key_id": "7", "project": "g/p", "action": "git-upload-archive"}))),
        ("a push", push(7, "g/p")),
    ]
}

/// The questions whose answers are never kept.
fn asked_questions() -> [(&'static str, Request); 11] {
    let with = |name: &str, value: &str| access(&json!({"key_id": "7", "project": "g/p", "action": "git-receive-pack", name: value}));
    let change = "1111111111111111111111111111111111111111 2222222222222222222222222222222222222222 refs/heads/x\n";
    [
        ("real changes", with("changes", change)),
        ("a quarantine", with("env", "{}")),
        ("a field that nobody knows", with("new_field", "x")),
        ("a push without changes", with("changes", "")),
        ("a push of nobody", access(&json!({"project": "g/p", "action": "git-receive-pack"}))),
        ("a pull by a former path", pull(7, "g/former")),
        ("a pull that is refused", pull(7, "g/hidden")),
        ("a user that is not there", discover(10_000)),
        ("a look-up with another parameter", Request::get("/api/v4/internal/discover?key_id=7&more=1")),
        ("LFS", Request::post("/api/v4/internal/lfs_authenticate", &json!({"key_id": "7", "project": "g/p"}))),
        ("a certificate", certificate()),
    ]
}

/// Makes every kept answer stale, or expired, or fresh again, from the next start on.
fn set_bounds(site: &Site, ttl: &str, max_stale: &str) {
    let path = site.env.path().join("sidegate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, _) = text.split_once("[freshness]").unwrap();
    let class = format!("{{ ttl = \"{ttl}\", max_stale = \"{max_stale}\" }}");
    let section = format!("[freshness]\nkeys = {class}\nreads = {class}\npush_precheck = {class}\nnegative_ttl = \"60s\"\n");
    site.env.write("sidegate.toml", &format!("{head}{section}"));
}

#[test]
fn what_is_fresh_is_given_without_asking_and_what_is_never_kept_is_asked_each_time() {
    let site = Site::start(FRESH);
    site.facts().hidden.insert("g/hidden".to_owned());
    for (what, question) in kept_questions() {
        let first = site.ask(&question);
        assert_eq!((first.status, site.take_questions()), (200, 1), "{what}: {}", first.text());
        let second = site.ask(&question);
        assert_eq!((second.header("x-sidegate-answer"), site.take_questions()), (Some("cached"), 0), "{what}");
        assert_eq!((second.header("x-sidegate-age").is_some(), second.body), (true, first.body), "{what}");
    }
    for (what, question) in asked_questions() {
        for round in 0..2 {
            let answer = site.ask(&question);
            assert_eq!((answer.header("x-sidegate-answer"), site.take_questions()), (Some("forwarded"), 1), "{what}, {round}");
        }
    }
}

#[test]
fn a_key_that_gitlab_did_not_know_a_moment_ago_is_not_asked_for_again() {
    let site = Site::start(FRESH);
    assert_eq!([site.source(&look_up(999)), site.source(&look_up(999))], ["forwarded 404", "cached 404"]);
    assert_eq!(site.take_questions(), 1);
    assert_eq!(site.ask(&look_up(999)).json(), json!({"message": "404 Key Not Found"}));
    assert_eq!(site.env.status()["kept"]["unknown_keys"], 1);
}

#[test]
fn while_gitlab_fails_what_is_kept_is_given_until_it_expires_also_after_a_restart_in_each_state() {
    let mut site = Site::start(FRESH);
    let questions: Vec<(&str, Request)> = kept_questions().into_iter().chain([("a certificate", certificate())]).collect();
    for (_, question) in &questions {
        site.ask(question);
    }
    site.wait_until_flushed();
    let sources = |site: &Site| questions.iter().map(|(_, question)| site.source(question)).collect::<Vec<_>>();
    let all = |source: &str, certificate: &str| {
        let mut all = vec![source.to_owned(); questions.len()];
        *all.last_mut().unwrap() = certificate.to_owned();
        all
    };
    site.fail();
    assert_eq!(sources(&site), all("cached", "cached degraded"), "fresh");
    assert_eq!(site.source(&look_up(8)), "424", "an outage never looks like a wrong key");
    for (state, bounds, expected) in [
        ("fresh", ("1h", "2h"), all("cached", "cached degraded")),
        ("stale", ("1ms", "2h"), all("cached degraded", "cached degraded")),
        ("expired", ("1ms", "1ms"), all("424", "424")),
    ] {
        set_bounds(&site, bounds.0, bounds.1);
        site.restart();
        site.fail();
        assert_eq!(sources(&site), expected, "{state}, after a restart");
        set_bounds(&site, bounds.0, "2h");
    }
}

/// What only GitLab answers, and what it does: beside [`asked_questions`] the requests of KAS, of error tracking, and writes.
fn never_kept_questions() -> Vec<(&'static str, Request)> {
    let kept_stale = ["a certificate"];
    let asked = asked_questions().into_iter().filter(|(what, _)| !kept_stale.contains(what));
    let others = [
        ("KAS", Request::get("/api/v4/internal/kubernetes/agent_info").header("Gitlab-Kas-Api-Request", "x")),
        ("error tracking", Request::post("/api/v4/internal/error_tracking/allowed", &json!({"project_id": 9, "public_key": "x"}))),
        ("recovery codes", Request::post("/api/v4/internal/two_factor_recovery_codes", &json!({"key_id": 7}))),
        ("a token", Request::post("/api/v4/internal/personal_access_token", &json!({"key_id": 7, "name": "x", "scopes": ["api"]}))),
        ("the end of a push", Request::post("/api/v4/internal/post_receive", &json!({"gl_repository": "project-9", "changes": ""}))),
    ];
    asked.chain(others).collect()
}

#[test]
fn what_is_never_kept_is_refused_with_a_reason_while_gitlab_fails_in_each_state_and_after_a_restart() {
    let mut site = Site::start(FRESH);
    site.facts().hidden.insert("g/hidden".to_owned());
    let check = Request::get("/api/v4/internal/check");
    for (what, question) in never_kept_questions() {
        assert_eq!(site.ask(&question).header("x-sidegate-answer"), Some("forwarded"), "{what}");
    }
    assert_eq!(site.ask(&check).json()["gitlab_version"], "18.6.0");
    kept_questions().iter().for_each(|(_, question)| drop(site.ask(question)));
    site.wait_until_flushed();
    for (state, bounds) in [("fresh", ("1h", "2h")), ("stale", ("1ms", "2h")), ("expired", ("1ms", "1ms"))] {
        set_bounds(&site, bounds.0, bounds.1);
        site.restart();
        site.fail();
        for (what, question) in never_kept_questions() {
            let answer = site.ask(&question);
            assert_eq!(answer.status, 424, "{what}, {state}: {}", answer.text());
            assert!(!answer.message().is_empty(), "{what}, {state}");
        }
        assert_eq!(site.take_questions(), 0, "{state}: nothing is sent to a GitLab that fails");
        let versions = site.ask(&check);
        assert_eq!((versions.status, versions.json()["redis"].as_bool()), (200, Some(state != "expired")), "{state}: {}", versions.text());
        assert_eq!(versions.header("x-sidegate-degraded"), Some("primary-unreachable"), "{state}");
        set_bounds(&site, bounds.0, "2h");
        site.facts().mode = Mode::Answers;
    }
}

#[test]
fn a_kill_loses_nothing_that_was_kept_a_second_ago_and_makes_nothing_younger() {
    let mut site = Site::start(FRESH);
    site.ask(&look_up(7));
    site.wait_until_flushed();
    site.env.wait_for("the answer to be a second old", || site.ask(&look_up(7)).header("x-sidegate-age") != Some("0"));
    let age = |site: &Site| site.ask(&look_up(7)).header("x-sidegate-age").unwrap().parse::<u64>().unwrap();
    for round in 0..3 {
        let before = age(&site);
        site.kill_and_restart();
        assert_eq!(site.source(&look_up(7)), "cached", "{round}");
        assert!(age(&site) >= before, "{round}");
    }
    assert_eq!(site.take_questions(), 1);
}

#[test]
fn what_is_stale_is_asked_first_and_given_where_gitlab_fails_or_is_slow() {
    let site = Site::start(
        "[freshness]\nkeys = { ttl = \"300ms\", max_stale = \"2h\" }\nreads = { ttl = \"300ms\", max_stale = \"2h\" }\nhedge = \"10ms\"\n",
    );
    for question in [look_up(7), pull(7, "g/p")] {
        site.ask(&question);
        site.facts().mode = Mode::Hangs;
        site.env.wait_for("the kept yes, once it is stale", || site.source(&question) == "cached degraded");
        site.facts().mode = Mode::Answers;
    }
    assert!(site.env.status()["primary"]["answers_hedged"].as_u64() >= Some(1));
}

#[test]
fn the_end_of_a_key_binds_what_is_kept_of_it_in_every_state() {
    let site = Site::start(FRESH);
    for (ends, source) in [("2099-01-01T00:00:00Z", "cached"), ("2020-01-01T00:00:00Z", "forwarded")] {
        site.facts().expires_at = json!(ends);
        site.run(&["invalidate"]);
        let questions = [look_up(7), pull(7, "g/p"), push(7, "g/p")];
        questions.iter().for_each(|question| drop(site.ask(question)));
        assert_eq!(questions.each_ref().map(|question| site.source(question)), [source; 3], "{ends}");
        if source == "forwarded" {
            site.fail();
            assert_eq!(questions.map(|question| site.source(&question)), ["424"; 3]);
        }
    }
}
