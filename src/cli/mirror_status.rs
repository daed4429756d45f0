//! What `sidegate status` prints of a mirror: first whether it serves and what an operator should look at, then the numbers.

use serde_json::Value;

use crate::cli::output::{field_text, print_line};
use crate::cli::units::{duration_text, interval_text};

/// GitLab is asked something every 10 s at least; the first line says so if it was not heard for longer than this.
const SILENCE_SECONDS: f64 = 20.0;

/// Prints the status of a mirror.
pub fn print_mirror(status: &Value) {
    status_lines(status).iter().for_each(|line| print_line(line));
}

/// Returns whether the mirror serves and how far a walk that is under way has come, in one line.
#[must_use]
pub fn verdict(status: &Value) -> String {
    let (walk, held) = (&status["full_walk"]["under_way"], held_text(status));
    let silence = silence_text(&status["gitlab"]);
    let alarms = match status["alarms"].as_array().map_or(0, Vec::len) {
        0 => String::new(),
        1 => "; 1 alarm stands".to_owned(),
        count => format!("; {count} alarms stand"),
    };
    match (status["serves_feed"].as_bool(), walk.is_object()) {
        (Some(true), false) => format!("serving {held}{silence}{alarms}"),
        (Some(true), true) => format!("serving {held}; full walk {}{silence}{alarms}", progress_text(walk)),
        (_, true) => format!("NOT serving yet: first walk {}{silence}{alarms}", progress_text(walk)),
        (_, false) => format!("NOT serving yet: the first walk has not begun{silence}{alarms}"),
    }
}

/// Returns that GitLab has not been heard for a while, from which on hosts do not count as fresh what they follow.
fn silence_text(gitlab: &Value) -> String {
    match gitlab["heard_seconds_ago"].as_f64() {
        Some(seconds) if seconds < SILENCE_SECONDS => String::new(),
        Some(seconds) => format!("; GitLab was not heard for {}", interval_text(seconds)),
        None if gitlab["failure"].is_string() => "; GitLab was not heard since the start".to_owned(),
        None => String::new(),
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

fn status_lines(status: &Value) -> Vec<String> {
    let mut lines = vec![verdict(status)];
    lines.extend(alarm_lines(status));
    lines.push(gitlab_line(&status["gitlab"]));
    lines.extend(settings_line(&status["settings"]));
    lines.push(full_walk_line(&status["full_walk"]));
    lines.push(recent_walk_line(&status["recent_walk"]));
    lines.push(hooks_line(&status["hooks"]));
    lines.push(verification_line(&status["verification"]));
    lines.extend(skipped_lines(&status["skipped"]));
    lines.push(hosts_line(status));
    let kibibytes = status["store_bytes"].as_u64().unwrap_or(0) >> 10;
    lines.push(format!("store: {}, {kibibytes} KiB; at seq {}", field_text(&status["store"]["state"]), status["head"]["seq"]));
    lines.push(format!("sidegate mirror {}, up since {}", field_text(&status["version"]), field_text(&status["since"])));
    lines
}

/// Returns the alarms, and what else keeps hosts from following.
fn alarm_lines(status: &Value) -> Vec<String> {
    let lost = status["sockets"]["lost"].as_array();
    let alarms = status["alarms"].as_array().into_iter().chain(lost).flatten();
    let mut lines: Vec<String> = alarms
        .map(|alarm| {
            let name = alarm["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
            format!("ALARM since {}{name}: {}", field_text(&alarm["since"]), field_text(&alarm["message"]))
        })
        .collect();
    if status["store"]["state"] != "writable" {
        let reason = status["store"]["reason"].as_str().map_or_else(String::new, |reason| format!(": {reason}"));
        lines.push(format!(
            "ALARM: the store cannot be written{reason}; nothing that GitLab changes is published until there is room on the disk of store.path"
        ));
    }
    if let Some(until) = status["accept_loss_until"].as_str() {
        lines.push(format!("a loss is accepted until {until}: what GitLab does not have is removed, however much it is"));
    }
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

/// Returns what GitLab has and cannot be published; its own line for each that is named.
fn skipped_lines(skipped: &Value) -> Vec<String> {
    let count = skipped["count"].as_u64().unwrap_or(0);
    if count == 0 {
        return Vec::new();
    }
    let named = skipped["named"].as_array().into_iter().flatten();
    let named = named.map(|one| format!("  {}: {}", field_text(&one["what"]), field_text(&one["reason"])));
    std::iter::once(format!("skipped: {count} users and keys cannot be published; hosts ask GitLab about them")).chain(named).collect()
}

fn hosts_line(status: &Value) -> String {
    let missing = match status["missing_hosts"].is_null() {
        true => "",
        false => "; some that followed before are missing: see `sidegate admin hosts`",
    };
    format!("hosts: {} follow now, {} are known{missing}", status["followers"], status["hosts"])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{status_lines, verdict};

    fn status() -> Value {
        json!({
            "version": "1.2.3", "since": "2026-01-31T12:00:00.000Z", "head": {"seq": 7}, "store": {"state": "writable"}, "store_bytes": 204_757,
            "followers": 1, "hosts": 2, "missing_hosts": null, "accept_loss_until": null, "sockets": {"lost": []}, "daemon": "mirror",
            "alarms": [], "serves_feed": true, "users": 259, "keys": 6,
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
        status_lines(status).join("\n")
    }

    #[test]
    fn a_mirror_that_serves_says_so_first_and_then_its_numbers_with_units() {
        let text = text(&status());
        assert!(text.starts_with("serving 259 users and 6 keys\n"), "{text}");
        assert!(text.contains("GitLab https://gitlab.example.com: heard 2 s ago; asked 42 times"), "{text}");
        assert!(
            text.contains("full walk, every 6 h: the last ended 2026-01-31T12:01:00.000Z with 259 users") && text.contains("every 30 s")
        );
        assert!(text.contains("every 10 min: 3 asked since the start, 1 of them removed"), "{text}");
        assert!(!text.contains("ALARM") && !text.contains("skipped"), "{text}");
    }

    #[test]
    fn the_first_walk_says_its_rate_and_what_is_left_and_that_nothing_is_served_yet() {
        let mut status = status();
        status["serves_feed"] = json!(false);
        status["full_walk"]["under_way"] = json!({"users": 4100, "users_per_second": 18.24, "remaining_seconds": 200});
        assert_eq!(verdict(&status), "NOT serving yet: first walk at 4100 users, 18.2 users/s, about 3 min 20 s left");
        status["full_walk"]["under_way"] = json!({"users": 0, "users_per_second": null, "remaining_seconds": null});
        assert_eq!(verdict(&status), "NOT serving yet: first walk at 0 users");
        status["full_walk"]["under_way"] = Value::Null;
        assert!(verdict(&status).contains("has not begun"));
    }

    #[test]
    fn an_alarm_comes_before_the_numbers_with_since_when_and_what_to_do() {
        let mut status = status();
        status["alarms"] = json!([{"reason": "token_refused", "since": "2026-01-31T12:00:00.000Z", "message": "give it another token"}]);
        status["store"] = json!({"state": "failed", "reason": "no space left on device"});
        let lines = status_lines(&status);
        assert_eq!(lines[0], "serving 259 users and 6 keys; 1 alarm stands");
        assert_eq!(lines[1], "ALARM since 2026-01-31T12:00:00.000Z (token_refused): give it another token");
        assert!(lines[2].starts_with("ALARM: the store cannot be written: no space left on device; "), "{}", lines[2]);
    }

    #[test]
    fn what_fails_or_is_not_there_is_said_where_its_number_would_stand() {
        let mut status = status();
        status["gitlab"]["failure"] = json!("status 502");
        status["gitlab"]["heard_seconds_ago"] = json!(25.4);
        assert_eq!(verdict(&status), "serving 259 users and 6 keys; GitLab was not heard for 25 s");
        status["gitlab"]["heard_seconds_ago"] = Value::Null;
        assert!(verdict(&status).ends_with("; GitLab was not heard since the start"));
        status["hooks"] = json!({"taken": false, "waiting": 0, "oldest": null});
        status["skipped"] = json!({"count": 1, "named": [{"what": "key 3", "reason": "it has no blob"}]});
        let text = text(&status);
        assert!(text.contains("not heard since the start; the last question failed: status 502"), "{text}");
        assert!(text.contains("hooks: none are taken") && text.contains("\n  key 3: it has no blob\n"), "{text}");
    }
}
