//! What `sidegate status` prints in front of a GitLab: what is kept of its answers, what shadow mode says of it, and how it stands on disk.

use serde_json::Value;

use crate::cli::output::print_line;

/// Returns what to know and do while a GitLab does not know most keys, and who of them is let in or refused.
pub fn mass_negative_alarm(kept: &Value) -> Option<String> {
    let guard = &kept["mass_negative"];
    let (since, seconds) = (guard["since"].as_str()?, guard["ends_in_seconds"].as_u64()?);
    let (unknown, asked, keys) = (&guard["unknown_at_start"], &guard["asked_at_start"], &guard["keys"]);
    let what = format!(
        "ALARM since {since}: the GitLab did not know {unknown} of the {asked} keys that it was asked about within a minute and knew before"
    );
    let look = "Look whether it is the right instance (DNS, `primary.url`), has its own database and not an older one, and its keys to decrypt it.";
    Some(if kept["shadow"].is_object() {
        format!(
            "{what}; in shadow mode its answer is given, so {keys} such keys are refused. After a switch such keys would be let in for {} s after its no. {look}",
            guard["hold_seconds"]
        )
    } else {
        format!(
            "{what}; {keys} such keys are let in for {seconds} s more. {look} A restart of sidegate ends this for them. If the keys are meant to be gone: `sidegate invalidate all`"
        )
    })
}

/// Prints what is kept, what shadow mode has compared with it, and how it stands on disk.
pub fn print_kept(kept: &Value) {
    print_shadow(&kept["shadow"]);
    let mebibytes = |name: &str| kept[name].as_u64().unwrap_or(0) >> 20;
    let oldest = kept["oldest_seconds"].as_f64().map_or_else(String::new, |age| format!("; the oldest is {age:.0} s old"));
    let warmed = kept["warmed"].as_u64().filter(|warmed| *warmed > 0).map_or_else(String::new, |warmed| format!("; {warmed} from a file"));
    print_line(&format!(
        "kept: {} of {} answers, {} of {} MiB{oldest}{warmed}; {} unknown keys",
        kept["answers"],
        kept["most_answers"],
        mebibytes("bytes"),
        mebibytes("most_bytes"),
        kept["unknown_keys"]
    ));
    for (question, counts) in kept["questions"].as_object().into_iter().flatten() {
        print_line(&format!("  {question}: {}", question_text(counts)));
    }
    let evictions = kept["evictions"].as_object().into_iter().flatten();
    let evictions: Vec<String> = evictions.map(|(reason, count)| format!("{reason} {count}")).collect();
    print_line(&format!(
        "  removed by reason: {}; {} asked for again in time, {} overtaken",
        evictions.join(", "),
        kept["refreshes"],
        kept["overtaken"]
    ));
    let guard = &kept["mass_negative"];
    print_line(&format!(
        "  of known keys asked about within a minute: {} asked, {} unknown; {} times most were, {} answers given all the same",
        guard["asked"], guard["unknown"], guard["holds"], guard["given"]
    ));
    store_lines(&kept["store"]).iter().for_each(|line| print_line(line));
}

/// Returns how what is kept stands on disk; a line that begins with `WARNING:` where it does not survive a restart.
fn store_lines(store: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let state = match store["state"].as_str().unwrap_or_default() {
        "opening" => "still being read; until then little is kept here, and the GitLab is asked",
        "open" => "open",
        other => {
            let reason = other.strip_prefix("in memory only: ").unwrap_or(other);
            lines.push(format!(
                "WARNING: what is kept is in memory only, and does not survive a restart: {reason}; make room on the disk of store.path; it is tried again every 10 s"
            ));
            "nothing"
        }
    };
    let pending = match (store["pending"].as_u64(), &store["lag_milliseconds"]) {
        (Some(0), _) => "no writes wait".to_owned(),
        (_, lag) => format!("{} writes are not on disk, the oldest for {lag} ms", store["pending"]),
    };
    lines.push(format!(
        "  on disk: {state}; {pending}; {} answers were not written because too many waited; put aside as damaged {} times, removed as not writable {} times",
        store["dropped"], store["quarantined"], store["discarded"]
    ));
    lines
}

/// Prints what shadow mode has compared.
fn print_shadow(shadow: &Value) {
    let Some(questions) = shadow.as_object() else { return };
    print_line(
        "shadow mode: the primary is asked for everything, and nothing that is kept is given; the bounds above are those after a switch",
    );
    for (question, counts) in questions {
        print_line(&format!("  {question}: {}", shadow_text(counts)));
    }
}

/// Returns what a switch would change for one kind of question, and whether its answers would have been the primary's.
fn shadow_text(counts: &Value) -> String {
    let percent = |name: &str| counts[name].as_f64().map_or_else(|| "none".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    let ages = counts["ages"].as_object().into_iter().flatten();
    let ages = ages.filter_map(|(age, counts)| {
        let [agrees, differs] = ["agrees", "differs"].map(|name| counts[name].as_u64().unwrap_or(0));
        (agrees + differs > 0).then(|| format!("{age} {agrees} of {}", agrees + differs))
    });
    let ages: Vec<String> = ages.collect();
    let ages = if ages.is_empty() { String::new() } else { format!(" ({})", ages.join(", ")) };
    format!(
        "{} of {} questions would have been answered without asking; {} agree with the primary{ages}; in outages {} would have been answered, {} not",
        percent("hit_rate"),
        count("answered") + count("asked"),
        percent("agreement"),
        count("outage_answered"),
        count("outage_refused")
    )
}

/// Returns how many answers to a question are kept, and how many look-ups they served.
fn question_text(counts: &Value) -> String {
    let lookups: u64 = ["fresh", "stale", "unknown", "asked"].iter().filter_map(|name| counts[*name].as_u64()).sum();
    let served = counts["hit_rate"]
        .as_f64()
        .map_or_else(|| "not asked yet".to_owned(), |rate| format!("{:.1} % of {lookups} look-ups", rate * 100.0));
    format!("{} kept, {served}, {} of them stale", counts["answers"], counts["stale"])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{mass_negative_alarm, store_lines};

    #[test]
    fn a_gitlab_that_does_not_know_most_keys_is_an_alarm_that_says_what_to_do() {
        let mut guard = json!({"since": null, "ends_in_seconds": null, "keys": 0});
        assert_eq!(mass_negative_alarm(&json!({"mass_negative": guard})), None);
        guard = json!({"since": "2026-01-31T12:00:00.000Z", "ends_in_seconds": 590, "hold_seconds": 600, "keys": 41, "asked_at_start": 30, "unknown_at_start": 20});
        let alarm = mass_negative_alarm(&json!({"mass_negative": guard, "shadow": null})).unwrap();
        for part in ["since 2026", "20 of the 30 keys", "41 such keys", "590 s", "right instance", "sidegate invalidate all"] {
            assert!(alarm.contains(part), "{part} is not in {alarm}");
        }
        assert_eq!(mass_negative_alarm(&Value::Null), None);
        let shadow = mass_negative_alarm(&json!({"mass_negative": guard, "shadow": {}})).unwrap();
        assert!(shadow.contains("41 such keys are refused. After a switch such keys would be let in for 600 s"), "{shadow}");
        assert!(shadow.contains("right instance") && !shadow.contains("keys are let in for") && !shadow.contains("invalidate"), "{shadow}");
    }

    fn store(state: &str, pending: u64) -> Vec<String> {
        store_lines(&json!({"state": state, "pending": pending, "lag_milliseconds": 40, "dropped": 5, "quarantined": 1, "discarded": 2}))
    }

    #[test]
    fn a_store_that_is_being_read_says_what_that_means() {
        let [line] = &store("opening", 0)[..] else { panic!() };
        assert!(line.starts_with("  on disk: still being read; until then little is kept here, and the GitLab is asked; no writes wait"));
    }

    #[test]
    fn what_is_not_on_disk_is_counted_and_so_is_what_was_dropped() {
        let [line] = &store("open", 3)[..] else { panic!() };
        for part in
            ["on disk: open; ", "3 writes are not on disk, the oldest for 40 ms", "5 answers were not written", "damaged 1", "writable 2"]
        {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn answers_in_memory_only_are_a_warning_that_says_what_to_do() {
        let [warning, line] = &store("in memory only: No space left on device", 0)[..] else { panic!() };
        assert!(warning.starts_with("WARNING: ") && warning.contains("a restart: No space left on device; make room"), "{warning}");
        assert!(warning.contains("store.path") && warning.contains("every 10 s"), "{warning}");
        assert!(line.contains("on disk: nothing; "), "{line}");
    }
}
