//! `sidegate resync`: loads a whole snapshot again, while the present copy goes on answering. On a terminal, or with `--wait`, it shows how far
//! that is. Exit code 0: loaded, or begun where nobody waits; 1: it could not be begun; 3: begun, and not done in the time that was given.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::ResyncArgs;
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::model::clock;

/// How often the daemon is asked how far it is.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// How long a terminal is waited on where nothing else is said.
const TERMINAL_WAIT: Duration = Duration::from_secs(600);

/// Begins a resync, and waits for its end where somebody looks.
pub fn run(arguments: &ResyncArgs) -> CommandResult {
    let client = AdminClient::new(&arguments.sidecar.socket)?;
    let before = client.get("/-/admin/status", REQUEST_TIMEOUT)?;
    let begun = client.post_json("/-/admin/resync", &json!({}), REQUEST_TIMEOUT)?;
    let shows_progress = std::io::stderr().is_terminal() && !arguments.sidecar.json;
    let wait = arguments.wait.map(Duration::from_secs).or_else(|| shows_progress.then_some(TERMINAL_WAIT));
    let Some(wait) = wait else {
        print(&begun, arguments.sidecar.json);
        return Ok(Completion::Complete);
    };
    let started = clock::boot_time();
    loop {
        let status = client.get("/-/admin/status", REQUEST_TIMEOUT)?;
        let waited = clock::boot_time().since(started);
        if let Some(done) = loaded(&before, &status) {
            end_progress(shows_progress);
            print(&done, arguments.sidecar.json);
            return Ok(Completion::Complete);
        }
        if waited >= wait {
            end_progress(shows_progress);
            print(&unfinished(&status, waited), arguments.sidecar.json);
            return Ok(Completion::Partial);
        }
        if shows_progress {
            show_progress(&progress(&status, waited));
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
}

fn print(answer: &Value, json: bool) {
    let text = if json { answer.to_string() } else { field_text(&answer["message"]) };
    print_line(&text);
}

/// Returns what was loaded, once a generation has taken over since `before`.
fn loaded(before: &Value, status: &Value) -> Option<Value> {
    let resyncs = |status: &Value| status["follower"]["counted"]["resyncs"].as_u64();
    if resyncs(status)? <= resyncs(before)? {
        return None;
    }
    let cursor = &status["follower"]["cursor"];
    let (seq, count) = (field_text(&cursor["seq"]), field_text(&cursor["count"]));
    let message = format!("loaded: {count} records, as the primary had them at commit {seq}; this host answers from them now");
    Some(json!({"message": message, "loaded": true, "seq": cursor["seq"], "count": cursor["count"]}))
}

fn unfinished(status: &Value, waited: Duration) -> Value {
    let message = format!(
        "not loaded after {} s: {}; the present copy goes on answering, and it is tried again. See `sidegate status`",
        waited.as_secs(),
        last_error(status).unwrap_or_else(|| "it is still under way".to_owned())
    );
    json!({"message": message, "loaded": false})
}

/// Returns how far it is, on one line.
fn progress(status: &Value, waited: Duration) -> String {
    let tried = field_text(&status["follower"]["counted"]["snapshots_tried"]);
    let error = last_error(status).map(|error| format!("; {error}")).unwrap_or_default();
    format!("loading a snapshot, {} s; snapshots begun since the start: {tried}{error}", waited.as_secs())
}

fn last_error(status: &Value) -> Option<String> {
    status["follower"]["last_error"]["message"].as_str().map(str::to_owned)
}

/// Replaces the line of the terminal.
fn show_progress(text: &str) {
    let mut terminal = std::io::stderr();
    let _ = write!(terminal, "\r\x1b[K{text}");
    let _ = terminal.flush();
}

fn end_progress(was_shown: bool) {
    if was_shown {
        show_progress("");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{loaded, progress, unfinished};

    fn status(resyncs: u64, resyncing: Value) -> Value {
        json!({"follower": {"counted": {"resyncs": resyncs, "snapshots_tried": 3}, "resyncing": resyncing,
            "cursor": {"seq": 7, "count": 42}, "last_error": null}})
    }

    #[test]
    fn it_is_loaded_once_a_new_copy_has_taken_over() {
        let before = status(1, Value::Null);
        for resyncing in [json!("an operator asked for it"), Value::Null] {
            assert_eq!(loaded(&before, &status(1, resyncing)), None, "it has not begun, or is under way");
        }
        let done = loaded(&before, &status(2, Value::Null)).unwrap();
        assert!(done["message"].as_str().unwrap().starts_with("loaded: 42 records, as the primary had them at commit 7"), "{done}");
    }

    #[test]
    fn what_is_not_done_says_why() {
        let mut failing = status(1, json!("x"));
        failing["follower"]["last_error"] = json!({"message": "the disk is full"});
        let text = unfinished(&failing, Duration::from_secs(30))["message"].to_string();
        assert!(text.contains("not loaded after 30 s: the disk is full"), "{text}");
        assert!(progress(&failing, Duration::from_secs(2)).ends_with("; the disk is full"));
    }
}
