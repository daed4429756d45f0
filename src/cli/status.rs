//! `sidegate status`, `verify`, `invalidate`, `resync`: the operator of a host and its sidecar.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::cli::arguments::OfSidecar;
use crate::cli::ask::{Daemon, PATIENCE};
use crate::cli::outcome::{Done, Outcome, say};

/// Adding up a large store takes a while.
const VERIFY_PATIENCE: Duration = Duration::from_secs(600);

/// How the sidecar stands.
pub fn run(sidecar: &OfSidecar) -> Outcome {
    let answer = Daemon::at(&sidecar.socket)?.ask(Method::GET, "/-/admin/status", PATIENCE)?;
    if sidecar.json {
        say(&answer.body.to_string());
    } else {
        print(&answer.body);
    }
    Ok(Done::Wholly)
}

/// Whether the store is what the primary has.
pub fn verify(sidecar: &OfSidecar) -> Outcome {
    told(sidecar, "/-/admin/verify", &json!({}), VERIFY_PATIENCE)
}

/// Forgets kept answers.
pub fn invalidate(what: &str, sidecar: &OfSidecar) -> Outcome {
    told(sidecar, "/-/admin/invalidate", &json!({"what": what}), PATIENCE)
}

/// Takes a snapshot again.
pub fn resync(sidecar: &OfSidecar) -> Outcome {
    told(sidecar, "/-/admin/resync", &json!({}), PATIENCE)
}

fn told(sidecar: &OfSidecar, target: &str, body: &Value, patience: Duration) -> Outcome {
    let answer = Daemon::at(&sidecar.socket)?.tell(target, body, patience)?;
    match answer.body["message"].as_str().filter(|_| !sidecar.json) {
        Some(message) => say(message),
        None => say(&answer.body.to_string()),
    }
    Ok(Done::Wholly)
}

fn print(status: &Value) {
    say(&format!("sidegate {} on {}, up since {}", plain(&status["version"]), plain(&status["host"]), plain(&status["since"])));
    for class in ["keys", "reads", "push_precheck"] {
        print_class(class, &status["freshness"][class]);
    }
    print_primary(&status["primary"]);
    say("follower:");
    print_fields(&status["follower"], "  ");
    let bytes = status["memory_bytes"].as_u64().unwrap_or(0);
    say(&format!("memory: {} MiB", bytes >> 20));
}

fn print_class(name: &str, class: &Value) {
    let age = class["age_seconds"].as_f64().map_or_else(|| "never proven current".to_owned(), |age| format!("{age:.1} s old"));
    say(&format!(
        "{name}: {}, {age}; answered without asking up to {} s, while the primary fails up to {} s ({} s left)",
        plain(&class["state"]),
        class["ttl_seconds"],
        class["max_stale_seconds"],
        plain(&class["expires_in_seconds"]),
    ));
}

fn print_primary(primary: &Value) {
    match primary["failing_since"].as_str() {
        Some(since) => say(&format!("primary: failing since {since}, breaker {}", plain(&primary["breaker"]))),
        None => say(&format!(
            "primary: answers; {} questions under way, {} waiting",
            primary["questions_under_way"], primary["questions_waiting"]
        )),
    }
}

fn print_fields(value: &Value, indent: &str) {
    let Some(fields) = value.as_object() else { return say(&format!("{indent}{}", plain(value))) };
    for (name, field) in fields {
        match field {
            Value::Object(inner) if !inner.is_empty() => {
                say(&format!("{indent}{name}:"));
                print_fields(field, &format!("{indent}  "));
            }
            other => say(&format!("{indent}{name}: {}", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
