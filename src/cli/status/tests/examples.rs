//! Examples: what the screen says in a few states, word for word where an operator or a monitor relies on it.

use serde_json::{Value, json};

use crate::cli::status::daemon_screen::screen_of;
use crate::cli::status::screen::{Colour, Level};

/// The status of a host that follows a primary, and where all is well.
pub fn well() -> Value {
    let class = |ttl: u64, most: u64| {
        json!({"state": "fresh", "verdict": "fresh", "verdict_since": null, "age_seconds": 1.25, "ttl_seconds": ttl, "hedged_seconds": 10 * ttl,
            "max_stale_seconds": most, "hold_seconds": null, "expires_in_seconds": most - 2})
    };
    json!({
        "daemon": "sidecar", "now": "2026-01-31T12:10:00.000Z", "host": "ssh-1", "version": "1.2.3", "since": "2026-01-31T10:10:00.000Z",
        "freshness": {"keys": class(60, 86_400), "reads": class(10, 14_400), "push_precheck": class(10, 300)},
        "primary": {"url": "https://primary", "state": "answers", "last_answer_seconds": 0.3, "failing_since": null, "failure": null,
            "breaker": "closed", "addresses": [], "questions_under_way": 0, "questions_waiting": 0, "answers_hedged": 0, "last_hedged": null,
            "late_denials": 0, "denials_kept": 0, "hedge_milliseconds": 150},
        "alarms": [], "kept": null, "feed": {"url": "https://primary", "of": "primary", "covers": null},
        "follower": {"connected_since": "2026-01-31T10:10:01.000Z", "lost_since": null, "cursor": {"seq": 7}, "primary": {"seq": 7},
            "flushed": {"seq": 7}, "digest_equal": true, "proof": "exchange", "instance": "abc", "max_stale_seconds": 86_400,
            "confirmed_max_stale_seconds": 86_400, "whole": true, "counts": {"user": 2, "key": 1, "project": 3}, "foreign": 0,
            "invalid_records": 0, "store_bytes": 2_097_152, "last_error": null, "resyncing": null, "resyncing_since": null, "alarms": []},
        "sockets": {"connections_open": 1, "refused": {}, "last_refused": null, "lost": []}, "memory_bytes": 34_603_008
    })
}

fn lines(status: &Value) -> Vec<String> {
    screen_of(status).unwrap().lines(Colour::Off)
}

fn level(status: &Value) -> Level {
    screen_of(status).unwrap().level
}

fn set_all_classes(status: &mut Value, verdict: &str, since: Value) {
    for class in ["keys", "reads", "push_precheck"] {
        status["freshness"][class]["state"] = json!(verdict);
        status["freshness"][class]["verdict"] = json!(verdict);
        status["freshness"][class]["verdict_since"] = since.clone();
    }
}

#[test]
fn where_all_is_well_the_first_line_says_so_and_numbers_have_human_units() {
    let lines = lines(&well());
    assert_eq!(lines[0], "serving: fresh, following, 0 alarms");
    assert_eq!(
        lines[1],
        "keys: fresh, 1 s old; given without asking up to 1 min, while the primary is slower than 150 ms up to 10 min, while it fails up to 24 h"
    );
    let text = lines.join("\n");
    for part in [
        "feed: https://primary: connected since 2026-01-31 10:10:01 UTC; at commit 7 of 7, digest equal",
        "store: 6 records (2 users, 1 key, 3 projects), 2 MiB, on disk up to commit 7; instance abc",
        "primary: answers, its last answer came 300 ms ago; 0 questions under way, 0 waiting",
        "sidegate 1.2.3 on ssh-1, up since 2026-01-31 10:10:00 UTC (2 h ago); 33 MiB of memory",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(level(&well()), Level::Well);
}

#[test]
fn a_dead_primary_is_said_with_since_when_the_feed_is_lost_and_what_to_do() {
    let mut status = well();
    set_all_classes(&mut status, "stale", json!("2026-01-31T12:08:00.000Z"));
    status["primary"]["state"] = json!("silent");
    status["primary"]["failing_since"] = json!("2026-01-31T12:07:00.000Z");
    status["primary"]["failure"] = json!("connection refused");
    status["follower"]["connected_since"] = Value::Null;
    status["follower"]["lost_since"] = json!("2026-01-31T12:07:00.000Z");
    status["follower"]["last_error"] = json!({"message": "the stream ended"});
    let lines = lines(&status);
    assert_eq!(
        lines[0],
        "serving: stale since 2026-01-31 12:08:00 UTC, not following since 2026-01-31 12:07:00 UTC, the primary has not answered since \
         2026-01-31 12:07:00 UTC, 0 alarms"
    );
    let text = lines.join("\n");
    for part in [
        "the primary has not answered since 2026-01-31 12:07:00 UTC (3 min ago): connection refused; it is asked again every second\n  to do: look whether it runs",
        "the feed of the primary is not connected since 2026-01-31 12:07:00 UTC (3 min ago): the stream ended\n  to do: make the primary answer",
        "primary: does not answer, its last answer came 300 ms ago",
        "stale since 2026-01-31 12:08:00 UTC (2 min ago): keys: the primary is asked first, and while it fails what is held is given until it is 24 h old",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(level(&status), Level::Degraded);
    set_all_classes(&mut status, "expired", json!("2026-01-31T12:09:00.000Z"));
    assert!(self::lines(&status)[0].starts_with("serving: expired since 2026-01-31 12:09:00 UTC, not following since "));
    assert_eq!(level(&status), Level::Away);
}

#[test]
fn a_lost_feed_beside_a_primary_that_answers_questions_says_both() {
    let mut status = well();
    status["follower"]["connected_since"] = Value::Null;
    status["follower"]["lost_since"] = json!("2026-01-31T12:07:00.000Z");
    let lines = lines(&status);
    assert_eq!(lines[0], "serving: fresh, not following since 2026-01-31 12:07:00 UTC, 0 alarms");
    assert!(lines[2].contains("it answers questions, but not the feed"), "{}", lines[2]);
    assert_eq!(level(&status), Level::Degraded);
}

#[test]
fn classes_that_differ_are_named_and_what_was_never_loaded_is_expired() {
    let mut status = well();
    status["freshness"]["reads"]["verdict"] = json!("stale");
    status["freshness"]["reads"]["verdict_since"] = json!("2026-01-31T12:07:00.000Z");
    assert_eq!(lines(&status)[0], "serving: stale since 2026-01-31 12:07:00 UTC (reads) and fresh (keys), following, 0 alarms");
    set_all_classes(&mut status, "expired", Value::Null);
    status["follower"]["connected_since"] = Value::Null;
    assert_eq!(lines(&status)[0], "serving: expired (nothing has been loaded yet), not following since 2026-01-31 10:10:00 UTC, 0 alarms");
}

#[test]
fn in_front_of_a_gitlab_it_says_that_it_is_asked() {
    let mut status = well();
    (status["feed"], status["kept"]) = (Value::Null, json!({"shadow": null}));
    assert_eq!(lines(&status)[0], "serving: fresh, asking GitLab, 0 alarms");
    assert_eq!(level(&status), Level::Well);
    status["primary"]["state"] = json!("refuses");
    status["primary"]["failing_since"] = json!("2026-01-31T12:07:00.000Z");
    assert_eq!(lines(&status)[0], "serving: fresh, GitLab refuses this host since 2026-01-31 12:07:00 UTC, 0 alarms");
    assert!(lines(&status)[2].contains("compare `auth.shell_secret_file`"), "{:?}", lines(&status));
    status["primary"]["state"] = json!("answers");
    status["kept"] = json!({"shadow": {}});
    assert_eq!(lines(&status)[0], "serving: fresh, asking GitLab for everything (shadow mode), 0 alarms");
    status["kept"] = json!({"shadow": null});
    status["feed"] = json!({"url": "https://mirror", "of": "mirror", "covers": ["user", "key"]});
    assert_eq!(lines(&status)[0], "serving: fresh, following, asking GitLab, 0 alarms");
}

#[test]
fn alarms_come_first_each_with_what_to_do() {
    let mut status = well();
    status["alarms"] = json!([{"kind": "drift", "since": "2026-01-31T12:07:00.000Z", "message": "the sums differ", "remedy": "wait"}]);
    let lines = lines(&status);
    assert_eq!(lines[0], "serving: fresh, following, 1 alarms");
    assert_eq!(lines[1..3], ["ALARM drift since 2026-01-31 12:07:00 UTC (3 min ago): the sums differ", "  to do: wait"]);
    assert_eq!(level(&status), Level::Degraded);
}

#[test]
fn the_lines_beside_an_alarm_about_the_feed_do_not_contradict_it() {
    for kind in ["forbidden", "primary_went_back", "garbled"] {
        let mut status = well();
        status["alarms"] =
            json!([{"kind": kind, "since": "2026-01-31T12:07:00.000Z", "message": "m", "remedy": "run `sidegate admin new-epoch` there"}]);
        status["follower"]["connected_since"] = Value::Null;
        status["follower"]["lost_since"] = json!("2026-01-31T12:07:00.000Z");
        let text = lines(&status).join("\n");
        let remedy = format!("\n  to do: as for the alarm `{kind}` above; following goes on by itself then\n");
        assert!(text.contains(&remedy) && !text.contains("it answers questions, but not the feed"), "{text}");
        assert!(text.contains(": not connected; at commit 7 (when last connected: of 7, digest equal)\n"), "{text}");
    }
}

#[test]
fn a_resync_and_a_slow_primary_are_said_and_are_not_wrong() {
    let mut status = well();
    status["follower"]["resyncing"] = json!("an operator asked for it");
    status["follower"]["resyncing_since"] = json!("2026-01-31T12:09:00.000Z");
    status["primary"]["state"] = json!("slow");
    status["primary"]["last_hedged"] = json!("2026-01-31T12:09:30.000Z");
    let text = lines(&status).join("\n");
    assert!(
        text.contains(
            "a whole snapshot is being fetched since 2026-01-31 12:09:00 UTC (1 min ago), because an operator asked for it; answers go on from what is here\n"
        ),
        "{text}"
    );
    assert!(text.contains("the primary is slow: ") && text.contains("the last 2026-01-31 12:09:30 UTC (30 s ago)"), "{text}");
    assert_eq!(level(&status), Level::Well);
}

#[test]
fn a_new_host_that_fetches_its_first_snapshot_is_not_said_to_answer() {
    let mut status = well();
    (status["follower"]["resyncing"], status["follower"]["cursor"]) = (json!("nothing is here yet"), Value::Null);
    let text = lines(&status).join("\n");
    assert!(text.contains("a whole snapshot is being fetched, because nothing is here yet\n") && !text.contains("answers go on"), "{text}");
}

#[test]
fn a_primary_whose_answers_travel_in_the_clear_is_named_and_one_on_this_host_is_not() {
    let text = |url: &str| {
        let mut status = well();
        status["primary"]["addresses"] =
            json!([{"url": url, "state": "answers", "since": null, "failure": null, "answers": 1, "failures": 0}]);
        assert_eq!(level(&status), Level::Well);
        lines(&status).join("\n")
    };
    let said = text("http://primary.example:8181");
    assert!(said.contains(
        "`primary.insecure_http` is in use: keys, tokens and answers can be read and changed on the way to http://primary.example:8181"
    ));
    assert!(said.contains("  to do: name the primary by https://"), "{said}");
    for url in ["http://127.0.0.1:8181", "https://primary.example", "http+unix:///run/x.sock"] {
        assert!(!text(url).contains("insecure_http"), "{url}");
    }
}

#[test]
fn only_a_proof_by_an_exchange_and_a_confirmed_bound_need_no_word() {
    let text = |change: &dyn Fn(&mut Value)| {
        let mut status = well();
        change(&mut status["follower"]);
        lines(&status).join("\n")
    };
    assert!(text(&|follower| follower["proof"] = json!("arrival")).contains("to do: update the primary"));
    assert!(text(&|follower| follower["proof"] = json!("wall_clocks")).contains("has not been compared"));
    let said = text(&|follower| follower["confirmed_max_stale_seconds"] = json!(5));
    assert!(said.contains("the largest max_stale of 24 h yet: until it does, nothing older than 5 s is answered"), "{said}");
}

#[test]
fn a_status_of_an_older_daemon_is_read_and_what_is_none_is_refused() {
    assert!(screen_of(&json!({"host": "ssh-1", "version": "0.0.1"})).is_ok());
    let refused = screen_of(&json!({"freshness": 7})).unwrap_err().to_string();
    assert!(refused.contains("another version"), "{refused}");
}

#[test]
fn a_primary_says_its_hosts_its_alarms_and_its_disk_first() {
    let mut status = json!({
        "daemon": "primary", "now": "2026-01-31T12:10:00.000Z", "version": "1.2.3", "since": "2026-01-31T10:10:00.000Z",
        "head": {"seq": 12}, "records": {"user": 3, "key": 4}, "store": {"state": "writable"}, "store_bytes": 4096,
        "disk_free_bytes": 1_073_741_824, "alarms": [], "hosts": 3, "hosts_following": 3, "hosts_behind": 0, "hosts_away": 0, "away": [],
        "revocations": {"keys": 1, "users": 0}, "creation": {"repositories": "none", "under_way": 0, "last_failure": null},
        "sockets": {"connections_open": 4, "refused": {}, "last_refused": null}, "usage_dropped": 0
    });
    assert_eq!(lines(&status)[0], "serving: commit 12, 3 of 3 hosts following, no revocation waits, disk 1.0 GiB free, 0 alarms");
    assert_eq!(level(&status), Level::Well);
    (status["hosts_following"], status["hosts_behind"], status["hosts_away"]) = (json!(2), json!(1), json!(1));
    status["away"] = json!([{"host": "ssh-3", "last_seen": "2026-01-31T12:00:00.000Z", "may_answer_seconds": 85_800}]);
    let lines = lines(&status);
    assert_eq!(lines[0], "serving: commit 12, 2 of 3 hosts following, revocations may wait for 1 host, disk 1.0 GiB free, 0 alarms");
    assert_eq!(
        lines[1..3],
        [
            "host ssh-3 is away, last seen 2026-01-31 12:00:00 UTC (10 min ago): it may let in what is revoked meanwhile for 23 h 50 min more",
            "  to do: run `sidegate status` there; if it is gone for good, `sidegate admin forget-host ssh-3`"
        ]
    );
    assert_eq!(level(&status), Level::Degraded);
}
