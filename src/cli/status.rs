//! `sidegate status`, `verify`, `invalidate`, `resync`: the commands of a host's operator about its sidecar.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{InvalidateArgs, InvalidateTarget, SidecarArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::helper::lookup::base64_part;

/// How long computing the digest of a large store may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// Prints the status of the sidecar.
pub fn run(sidecar: &SidecarArgs) -> CommandResult {
    let status = AdminClient::new(&sidecar.socket)?.get("/-/admin/status", REQUEST_TIMEOUT)?;
    if sidecar.json {
        print_line(&status.to_string());
    } else {
        print_status(&status);
    }
    Ok(Completion::Complete)
}

/// Compares the store with the primary.
pub fn verify(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/verify", &json!({}), VERIFY_TIMEOUT)
}

/// Removes answers of the primary from the sidecar's memory.
pub fn invalidate(arguments: &InvalidateArgs) -> CommandResult {
    post_and_print(&arguments.sidecar, "/-/admin/invalidate", &invalidation(arguments)?, REQUEST_TIMEOUT)
}

fn invalidation(arguments: &InvalidateArgs) -> Result<Value, CommandError> {
    match (arguments.target, arguments.name.as_deref()) {
        (InvalidateTarget::All, None) => Ok(json!({"all": true})),
        (InvalidateTarget::All, Some(name)) => Err(CommandError(format!("`all` takes no name; did you mean `invalidate user {name}`?"))),
        (InvalidateTarget::Key, Some(key)) => Ok(json!({"key": base64_part(key)})),
        (InvalidateTarget::User, Some(username)) => Ok(json!({"user": username})),
        (InvalidateTarget::Project, Some(path)) => Ok(json!({"project": path})),
        (_, None) => Err(CommandError("name the key, the user or the project whose answers are removed".to_owned())),
    }
}

/// Makes the sidecar load a whole snapshot again.
pub fn resync(sidecar: &SidecarArgs) -> CommandResult {
    post_and_print(sidecar, "/-/admin/resync", &json!({}), REQUEST_TIMEOUT)
}

fn post_and_print(sidecar: &SidecarArgs, target: &str, body: &Value, timeout: Duration) -> CommandResult {
    let response = AdminClient::new(&sidecar.socket)?.post_json(target, body, timeout)?;
    match response["message"].as_str().filter(|_| !sidecar.json) {
        Some(message) => print_line(message),
        None => print_line(&response.to_string()),
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
