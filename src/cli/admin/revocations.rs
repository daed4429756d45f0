//! `sidegate admin revocations`, and what an apply says of them: what the operator revoked and no file brings back.

use serde_json::Value;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Lists them.
pub fn list(client: &AdminClient) -> CommandResult {
    let response = client.get("/-/admin/revocations", REQUEST_TIMEOUT)?;
    let revocations = response["revocations"].as_array().cloned().unwrap_or_default();
    if revocations.is_empty() {
        print_line("nothing is revoked that a file could bring back");
    }
    for revocation in &revocations {
        print_line(&format_revocation(revocation));
    }
    Ok(Completion::Complete)
}

/// Prints which lines of the file were not applied as they are, because the operator revoked what they have, and which revocations ended.
pub fn print_revocations(revocations: &Value) {
    let list = |name: &str| revocations[name].as_array().cloned().unwrap_or_default();
    let held = list("held");
    for line in &held {
        let kept = if line["kind"] == "key" { "left out" } else { "kept blocked" };
        print_line(&format!("line {}: {kept}: {}", line["line"], format_revocation(line)));
    }
    if !held.is_empty() {
        print_line(&format!("{} revocations hold against this file; to undo them say --undo-revocations", held.len()));
    }
    for line in list("undone") {
        print_line(&format!("line {}: undone: {}", line["line"], format_revocation(&line)));
    }
    if let Some(ended @ 1..) = revocations["ended"].as_u64() {
        print_line(&format!(
            "{ended} revocations are not held any longer: the files have revoked as well for a year, or the number is another person's"
        ));
    }
}

/// Returns one revocation in a line.
pub fn format_revocation(revocation: &Value) -> String {
    let text = |name: &str| field_text(&revocation[name]);
    let (id, at, by) = (text("id"), text("at"), text("by"));
    match revocation["kind"].as_str() {
        Some("key") => format!("key {id} ({}), revoked {at} by {by}", text("fingerprint")),
        _ => format!("user {} (id {id}), blocked {at} by {by}", text("username")),
    }
}
