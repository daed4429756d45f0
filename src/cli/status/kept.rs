//! What the status of a host says in front of a GitLab: what is kept of its answers, what shadow mode says of it, and how it stands on disk.

use serde_json::Value;

use crate::cli::units::{bytes_text, duration_text, interval_text};

/// Returns what is kept, what shadow mode has compared with it, and how it stands on disk; nothing where nothing is kept.
#[must_use]
pub fn kept_lines(kept: &Value) -> Vec<String> {
    if !kept.is_object() {
        return Vec::new();
    }
    let mut lines = shadow_lines(&kept["shadow"]);
    let size = |name: &str| bytes_text(kept[name].as_u64().unwrap_or(0));
    let oldest = kept["oldest_seconds"].as_f64().map_or_else(String::new, |age| format!("; the oldest is {} old", interval_text(age)));
    let warmed = kept["warmed"].as_u64().filter(|warmed| *warmed > 0).map_or_else(String::new, |warmed| format!("; {warmed} from a file"));
    lines.push(format!(
        "kept: {} of {} answers, {} of {}{oldest}{warmed}; {} unknown keys",
        kept["answers"],
        kept["most_answers"],
        size("bytes"),
        size("most_bytes"),
        kept["unknown_keys"]
    ));
    for (question, counts) in kept["questions"].as_object().into_iter().flatten() {
        lines.push(format!("  {question}: {}", question_text(counts)));
    }
    let evictions = kept["evictions"].as_object().into_iter().flatten();
    let evictions: Vec<String> = evictions.map(|(reason, count)| format!("{reason} {count}")).collect();
    lines.push(format!(
        "  removed by reason: {}; {} asked for again in time, {} overtaken",
        evictions.join(", "),
        kept["refreshes"],
        kept["overtaken"]
    ));
    let guard = &kept["mass_negative"];
    lines.push(format!(
        "  of known keys asked about within a minute: {} asked, {} unknown; {} times most were, {} answers given all the same{}",
        guard["asked"],
        guard["unknown"],
        guard["holds"],
        guard["given"],
        hold_text(guard)
    ));
    lines.push(store_line(&kept["store"]));
    lines
}

/// Returns for how much longer keys that a GitLab does not know are let in.
fn hold_text(guard: &Value) -> String {
    guard["ends_in_seconds"].as_u64().map_or_else(String::new, |seconds| format!("; the hold ends in {}", duration_text(seconds)))
}

/// Returns how what is kept stands on disk.
fn store_line(store: &Value) -> String {
    let state = match store["state"].as_str().unwrap_or_default() {
        "opening" => "still being read; until then little is kept here, and the GitLab is asked",
        "open" => "open",
        _ => "nothing",
    };
    let pending = match (store["pending"].as_u64(), &store["lag_milliseconds"]) {
        (Some(0), _) => "no writes wait".to_owned(),
        (_, lag) => format!("{} writes are not on disk, the oldest for {lag} ms", store["pending"]),
    };
    format!(
        "  on disk: {state}; {pending}; {} answers were not written because too many waited; put aside as damaged {} times, removed as not writable {} times",
        store["dropped"], store["quarantined"], store["discarded"]
    )
}

/// Returns what shadow mode has compared.
fn shadow_lines(shadow: &Value) -> Vec<String> {
    let Some(questions) = shadow.as_object() else { return Vec::new() };
    let head =
        "shadow mode: the primary is asked for everything, and nothing that is kept is given; the bounds above are those after a switch";
    let each = questions.iter().map(|(question, counts)| format!("  {question}: {}", shadow_text(counts)));
    std::iter::once(head.to_owned()).chain(each).collect()
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
    use serde_json::json;

    use super::{kept_lines, store_line};

    fn store(state: &str, pending: u64) -> String {
        store_line(&json!({"state": state, "pending": pending, "lag_milliseconds": 40, "dropped": 5, "quarantined": 1, "discarded": 2}))
    }

    #[test]
    fn a_store_says_whether_it_is_read_open_or_nothing_and_what_waits() {
        let opening = store("opening", 0);
        assert!(
            opening.starts_with("  on disk: still being read; until then little is kept here, and the GitLab is asked; no writes wait")
        );
        let open = store("open", 3);
        for part in
            ["on disk: open; ", "3 writes are not on disk, the oldest for 40 ms", "5 answers were not written", "damaged 1", "writable 2"]
        {
            assert!(open.contains(part), "{part} is not in {open}");
        }
        assert!(store("in memory only: No space left on device", 0).contains("on disk: nothing; "));
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_said() {
        assert!(kept_lines(&json!(null)).is_empty());
    }
}
