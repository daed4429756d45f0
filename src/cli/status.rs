//! `sidegate status`, `verify`, `invalidate`, `resync`: the operator of a host and its sidecar.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::SidecarArgs;
use crate::cli::exit_status::{CommandResult, Completion, print_line};

/// Adding up a large store takes a while.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// How the sidecar stands.
pub fn run(sidecar: &SidecarArgs) -> CommandResult {
    let answer = AdminClient::new(&sidecar.socket)?.request(Method::GET, "/-/admin/status", REQUEST_TIMEOUT)?;
    if sidecar.json {
        print_line(&answer.body.to_string());
    } else {
        print_status(&answer.body);
    }
    Ok(Completion::Complete)
}

/// Whether the store is what the primary has.
pub fn verify(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/verify", &json!({}), VERIFY_TIMEOUT)
}

/// Forgets kept answers.
pub fn invalidate(what: &str, sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/invalidate", &json!({"what": what}), REQUEST_TIMEOUT)
}

/// Takes a snapshot again.
pub fn resync(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/resync", &json!({}), REQUEST_TIMEOUT)
}

fn post_and_print(sidecar: &SidecarArgs, target: &str, body: &Value, patience: Duration) -> CommandResult {
    let answer = AdminClient::new(&sidecar.socket)?.post_json(target, body, patience)?;
    match answer.body["message"].as_str().filter(|_| !sidecar.json) {
        Some(message) => print_line(message),
        None => print_line(&answer.body.to_string()),
    }
    Ok(Completion::Complete)
}

fn print_status(status: &Value) {
    print_line(&format!(
        "sidegate {} on {}, up since {}",
        field_text(&status["version"]),
        field_text(&status["host"]),
        field_text(&status["since"])
    ));
    for class in ["keys", "reads", "push_precheck"] {
        print_freshness_class(class, &status["freshness"][class]);
    }
    print_primary(&status["primary"]);
    print_line("follower:");
    print_fields(&status["follower"], "  ");
    let bytes = status["memory_bytes"].as_u64().unwrap_or(0);
    print_line(&format!("memory: {} MiB", bytes >> 20));
}

fn print_freshness_class(name: &str, class: &Value) {
    let age = class["age_seconds"].as_f64().map_or_else(|| "never proven current".to_owned(), |age| format!("{age:.1} s old"));
    print_line(&format!(
        "{name}: {}, {age}; answered without asking up to {} s, while the primary fails up to {} s ({} s left)",
        field_text(&class["state"]),
        class["ttl_seconds"],
        class["max_stale_seconds"],
        field_text(&class["expires_in_seconds"]),
    ));
}

fn print_primary(primary: &Value) {
    match primary["failing_since"].as_str() {
        Some(since) => print_line(&format!("primary: failing since {since}, breaker {}", field_text(&primary["breaker"]))),
        None => print_line(&format!(
            "primary: answers; {} questions under way, {} waiting",
            primary["questions_under_way"], primary["questions_waiting"]
        )),
    }
}

fn print_fields(value: &Value, indent: &str) {
    let Some(fields) = value.as_object() else { return print_line(&format!("{indent}{}", field_text(value))) };
    for (name, field) in fields {
        match field {
            Value::Object(inner) if !inner.is_empty() => {
                print_line(&format!("{indent}{name}:"));
                print_fields(field, &format!("{indent}  "));
            }
            other => print_line(&format!("{indent}{name}: {}", field_text(other))),
        }
    }
}

fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
