//! The screen of a mirror: first whether it serves and what an operator should look at, then the numbers.

use serde::Deserialize as _;
use serde_json::Value;

use crate::cli::output::field_text;
use crate::cli::status::primary::{self, PrimaryDaemonView, hosts_text, up_text};
use crate::cli::status::screen::{Finding, Level, Screen, Weight};
use crate::cli::status::sidecar_numbers::sockets_line;
use crate::cli::units::{bytes_text, duration_text, interval_text};

/// GitLab is asked something every 10 s at least; the first line says so if it was not heard for longer than this.
const SILENCE_SECONDS: f64 = 20.0;

/// Returns the screen. Fails for JSON that is not a mirror's status.
pub fn screen(status: &Value) -> Result<Screen, serde_json::Error> {
    let view = PrimaryDaemonView::deserialize(status)?;
    let mut findings = primary::findings(&view);
    findings.extend(skipped_findings(&status["skipped"]));
    Ok(Screen { level: level(status, &view), verdict: verdict(status), findings, numbers: numbers(status, &view) })
}

fn level(status: &Value, view: &PrimaryDaemonView) -> Level {
    match status["serves_feed"].as_bool() {
        Some(true) if view.is_well() && silence_text(&status["gitlab"]).is_none() => Level::Well,
        Some(true) => Level::Degraded,
        _ => Level::Away,
    }
}

/// Returns whether the mirror serves, how far a walk that is under way has come, how GitLab and the hosts do, and how many alarms stand.
#[must_use]
pub fn verdict(status: &Value) -> String {
    let walk = &status["full_walk"]["under_way"];
    let mut parts = match (status["serves_feed"].as_bool(), walk.is_object()) {
        (Some(true), false) => vec![held_text(status)],
        (Some(true), true) => vec![held_text(status), format!("full walk {}", progress_text(walk))],
        (_, true) => vec![format!("not yet, first walk {}", progress_text(walk))],
        (_, false) => vec!["not yet, the first walk has not begun".to_owned()],
    };
    parts.extend(silence_text(&status["gitlab"]));
    let hosts = status.get("hosts_following").and_then(|_| PrimaryDaemonView::deserialize(status).ok());
    parts.extend(hosts.map(|view| hosts_text(&view)));
    parts.push(format!("{} alarms", status["alarms"].as_array().map_or(0, Vec::len)));
    format!("serving: {}", parts.join(", "))
}

/// Returns that GitLab has not been heard for a while, from which on hosts do not count as fresh what they follow.
fn silence_text(gitlab: &Value) -> Option<String> {
    match gitlab["heard_seconds_ago"].as_f64() {
        Some(seconds) if seconds < SILENCE_SECONDS => None,
        Some(seconds) => Some(format!("GitLab was not heard for {}", interval_text(seconds))),
        None => gitlab["failure"].is_string().then(|| "GitLab was not heard since the start".to_owned()),
    }
}

fn held_text(status: &Value) -> String {
    format!("{} users and {} keys", status["users"], status["keys"])
}

/// Returns how far a walk has come, as `at 4100 users, 18.2 users/s, about 3 min left`.
fn progress_text(walk: &Value) -> String {
    let rate = walk["users_per_second"].as_f64().map_or_else(String::new, |rate| format!(", {rate:.1} users/s"));
    let left = walk["remaining_seconds"].as_u64().map_or_else(String::new, |left| format!(", about {} left", duration_text(left)));
    format!("at {} users{rate}{left}", walk["users"])
}

fn numbers(status: &Value, view: &PrimaryDaemonView) -> Vec<String> {
    let size = view.store_bytes.map_or_else(|| "unknown size".to_owned(), bytes_text);
    let free = view.disk_free_bytes.map_or_else(|| "unknown".to_owned(), bytes_text);
    let mut lines = vec![gitlab_line(&status["gitlab"])];
    lines.extend(settings_line(&status["settings"]));
    lines.extend([
        full_walk_line(&status["full_walk"]),
        recent_walk_line(&status["recent_walk"]),
        hooks_line(&status["hooks"]),
        verification_line(&status["verification"]),
        format!("hosts: {} of {} following, {} away, {} behind", view.hosts_following, view.hosts, view.hosts_away, view.hosts_behind),
        format!("store: {}, {size} at commit {}; {free} free on its disk", field_text(&status["store"]["state"]), view.head.seq),
        sockets_line(&view.sockets),
        format!("sidegate mirror {}{}", view.version, up_text(view)),
    ]);
    lines
}

fn gitlab_line(gitlab: &Value) -> String {
    let heard = match gitlab["heard_seconds_ago"].as_f64() {
        Some(seconds) => format!("heard {} ago", interval_text(seconds)),
        None => "not heard since the start".to_owned(),
    };
    let failure = gitlab["failure"].as_str().map_or_else(String::new, |reason| format!("; the last question failed: {reason}"));
    let (asked, waiting) = (&gitlab["requests"], &gitlab["waiting"]);
    format!(
        "GitLab {}: {heard}{failure}; asked {} times (public API) and {} times (internal API) since the start; waiting: {} for hooks, {} to verify, {} of walks",
        field_text(&gitlab["url"]),
        asked["public"],
        asked["internal"],
        waiting["hooks"],
        waiting["verification"],
        waiting["walk"],
    )
}

/// Returns by which URL GitLab shows itself, once a walk has met it.
fn settings_line(settings: &Value) -> Option<String> {
    let url = settings["web_url"].as_str()?;
    Some(format!("GitLab shows itself as {url}; the host in the comments of keys is {}", field_text(&settings["host"])))
}

fn full_walk_line(walk: &Value) -> String {
    let every = interval_text(walk["every_seconds"].as_f64().unwrap_or(0.0));
    let last = match walk["last"].as_object() {
        Some(last) => format!(
            "the last ended {} with {} users, {} keys and {} changes",
            field_text(&last["ended"]),
            last["users"],
            last["keys"],
            last["changes"]
        ),
        None => "none has ended yet".to_owned(),
    };
    let failure = walk["failure"].as_str().map_or_else(String::new, |reason| format!("; it stopped and goes on from there: {reason}"));
    format!("full walk, every {every}: {last}{failure}")
}

fn recent_walk_line(walk: &Value) -> String {
    let every = interval_text(walk["every_seconds"].as_f64().unwrap_or(0.0));
    let last = walk["last"].as_str().map_or_else(|| "none has ended yet".to_owned(), |last| format!("the last ended {last}"));
    let failure = walk["failure"].as_str().map_or_else(String::new, |reason| format!("; it fails: {reason}"));
    format!("short walk (blocked users), every {every}: {last}{failure}")
}

fn hooks_line(hooks: &Value) -> String {
    if hooks["taken"] != true {
        return "hooks: none are taken; without [hooks] a removed key is found by verification and by the full walk only".to_owned();
    }
    match hooks["waiting"].as_u64() {
        Some(0) | None => "hooks: taken, none waits to be asked".to_owned(),
        Some(waiting) => format!("hooks: taken, {waiting} wait to be asked, the oldest since {}", field_text(&hooks["oldest"])),
    }
}

fn verification_line(verification: &Value) -> String {
    let every = interval_text(verification["every_seconds"].as_f64().unwrap_or(0.0));
    format!(
        "verification of used keys, every {every}: {} asked since the start, {} of them removed, {} wait",
        verification["asked"], verification["removed"], verification["waiting"]
    )
}

/// Returns what GitLab has and cannot be published; a finding for each that is named.
fn skipped_findings(skipped: &Value) -> Vec<Finding> {
    let count = skipped["count"].as_u64().unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    let named = skipped["named"].as_array().into_iter().flatten();
    let named =
        named.map(|one| Finding::new(Weight::Note, format!("  {}: {}", field_text(&one["what"]), field_text(&one["reason"])), None));
    let text = format!("skipped: {count} users and keys cannot be published; hosts ask GitLab about them");
    std::iter::once(Finding::new(Weight::Note, text, None)).chain(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{screen, verdict};
    use crate::cli::status::screen::{Colour, Level};

    fn status() -> Value {
        json!({
            "version": "1.2.3", "since": "2026-01-31T12:00:00.000Z", "now": "2026-01-31T13:00:00.000Z", "head": {"seq": 7},
            "store": {"state": "writable"}, "store_bytes": 204_757, "disk_free_bytes": 5_368_709_120_u64,
            "followers": 1, "hosts": 2, "hosts_following": 2, "hosts_behind": 0, "hosts_away": 0, "away": [], "missing_hosts": null,
            "accept_loss_until": null, "sockets": {"lost": []}, "daemon": "mirror", "alarms": [], "serves_feed": true, "users": 259, "keys": 6,
            "gitlab": {"url": "https://gitlab.example.com", "heard_seconds_ago": 1.6, "failure": null,
                "requests": {"public": 42, "internal": 2}, "waiting": {"hooks": 0, "verification": 0, "walk": 0}},
            "full_walk": {"every_seconds": 21_600.0, "under_way": null, "failure": null,
                "last": {"ended": "2026-01-31T12:01:00.000Z", "users": 259, "keys": 6, "changes": 0}},
            "recent_walk": {"every_seconds": 30.0, "last": "2026-01-31T12:02:00.000Z", "users": 100, "failure": null},
            "hooks": {"taken": true, "waiting": 0, "oldest": null},
            "verification": {"every_seconds": 600.0, "waiting": 0, "asked": 3, "removed": 1},
            "skipped": {"count": 0, "named": []}
        })
    }

    fn text(status: &Value) -> String {
        screen(status).unwrap().lines(Colour::Off).join("\n")
    }

    fn level(status: &Value) -> Level {
        screen(status).unwrap().level
    }

    #[test]
    fn a_mirror_that_serves_says_so_first_and_then_its_numbers_with_units() {
        let text = text(&status());
        assert!(text.starts_with("serving: 259 users and 6 keys, 2 of 2 hosts following, no revocation waits, 0 alarms\n"), "{text}");
        assert!(text.contains("GitLab https://gitlab.example.com: heard 2 s ago; asked 42 times"), "{text}");
        assert!(
            text.contains("full walk, every 6 h: the last ended 2026-01-31T12:01:00.000Z with 259 users") && text.contains("every 30 s")
        );
        assert!(text.contains("every 10 min: 3 asked since the start, 1 of them removed"), "{text}");
        assert!(text.contains("store: writable, 199 KiB at commit 7; 5.0 GiB free"), "{text}");
        assert!(!text.contains("ALARM") && !text.contains("skipped"), "{text}");
        assert_eq!(level(&status()), Level::Well);
    }

    #[test]
    fn the_first_walk_says_its_rate_and_what_is_left_and_that_nothing_is_served_yet() {
        let mut status = status();
        status["serves_feed"] = json!(false);
        status["full_walk"]["under_way"] = json!({"users": 4100, "users_per_second": 18.24, "remaining_seconds": 200});
        assert!(verdict(&status).starts_with("serving: not yet, first walk at 4100 users, 18.2 users/s, about 3 min 20 s left, 2 of"));
        status["full_walk"]["under_way"] = json!({"users": 0, "users_per_second": null, "remaining_seconds": null});
        assert!(verdict(&status).starts_with("serving: not yet, first walk at 0 users, "));
        status["full_walk"]["under_way"] = Value::Null;
        assert!(verdict(&status).contains("has not begun"));
        assert_eq!(level(&status), Level::Away);
    }

    #[test]
    fn a_host_that_does_not_confirm_the_last_commit_is_named_and_makes_it_degraded() {
        let mut status = status();
        (status["hosts_overdue"], status["overdue"]) = (json!(1), json!(["ssh-1"]));
        let text = text(&status);
        assert!(text.contains("1 host has not confirmed the last commit for 90 s: ssh-1\n  to do: "), "{text}");
        assert_eq!(level(&status), Level::Degraded);
    }

    #[test]
    fn an_alarm_comes_before_the_numbers_with_since_when_and_what_to_do() {
        let mut status = status();
        status["alarms"] = json!([{"kind": "token_refused", "since": "2026-01-31T12:00:00.000Z", "message": "it is refused", "remedy": "give it another"}]);
        let lines = screen(&status).unwrap().lines(Colour::Off);
        assert!(lines[0].ends_with(", 1 alarms"), "{}", lines[0]);
        assert_eq!(lines[1], "ALARM token_refused since 2026-01-31 12:00:00 UTC (1 h ago): it is refused");
        assert_eq!((lines[2].as_str(), level(&status)), ("  to do: give it another", Level::Degraded));
    }

    #[test]
    fn what_fails_or_is_not_there_is_said_where_its_number_would_stand() {
        let mut status = status();
        status["gitlab"]["failure"] = json!("status 502");
        status["gitlab"]["heard_seconds_ago"] = json!(25.4);
        assert!(verdict(&status).contains(", GitLab was not heard for 25 s, "));
        assert_eq!(level(&status), Level::Degraded);
        status["gitlab"]["heard_seconds_ago"] = Value::Null;
        assert!(verdict(&status).contains(", GitLab was not heard since the start, "));
        status["hooks"] = json!({"taken": false, "waiting": 0, "oldest": null});
        status["skipped"] = json!({"count": 1, "named": [{"what": "key 3", "reason": "it has no blob"}]});
        let text = text(&status);
        assert!(text.contains("not heard since the start; the last question failed: status 502"), "{text}");
        assert!(text.contains("hooks: none are taken") && text.contains("\n  key 3: it has no blob\n"), "{text}");
    }
}
