//! `sidegate admin revoke-key` and `block-user`: what is taken away, and on which hosts that is in force.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin::hosts::instance_text;
use crate::cli::admin::missing_hosts::print_missing_hosts;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{RevokedKeyArgs, WaitArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Revokes a key, or all keys of a user.
pub fn revoke_key(client: &AdminClient, which: &RevokedKeyArgs, wait: &WaitArgs) -> CommandResult {
    let body = match which {
        RevokedKeyArgs { id: Some(id), .. } => json!({"id": id}),
        RevokedKeyArgs { fingerprint: Some(fingerprint), .. } => json!({"fingerprint": fingerprint}),
        RevokedKeyArgs { username, .. } => json!({"username": username}),
    };
    let response = request_with_wait(client, "/-/admin/revoke-key", body, wait)?;
    let (revoked, seq) = (&response["revoked"], &response["head"]["seq"]);
    let print_key = |key: &Value| print_line(&format!("key {} ({}) is revoked at seq {seq}", key["id"], field_text(&key["fingerprint"])));
    match revoked["keys"].as_array() {
        None => print_key(revoked),
        Some(keys) if keys.is_empty() => print_line(&format!("{} has no keys; nothing was revoked", field_text(&revoked["username"]))),
        Some(keys) => keys.iter().for_each(print_key),
    }
    let may = if revoked["keys"].is_array() { "accept the keys" } else { "accept the key" };
    Ok(report_propagation(&response, wait, may))
}

/// Blocks a user.
pub fn block_user(client: &AdminClient, username: &str, wait: &WaitArgs) -> CommandResult {
    let response = request_with_wait(client, "/-/admin/block-user", json!({"username": username}), wait)?;
    let blocked = &response["blocked"];
    print_line(&format!(
        "{} is blocked at seq {} (was {})",
        field_text(&blocked["username"]),
        response["head"]["seq"],
        field_text(&blocked["before"])
    ));
    Ok(report_propagation(&response, wait, "accept the user"))
}

/// Undoes that a user was blocked.
pub fn unblock_user(client: &AdminClient, username: &str, wait: &WaitArgs) -> CommandResult {
    let response = request_with_wait(client, "/-/admin/unblock-user", json!({"username": username}), wait)?;
    let (unblocked, seq) = (&response["unblocked"], &response["head"]["seq"]);
    let name = field_text(&unblocked["username"]);
    match unblocked["state"].as_str() {
        Some(state) => print_line(&format!("{name} is {state} at seq {seq}, and files are not held against that")),
        None => print_line(&format!("{name} is not in the directory; a file may bring the user back")),
    }
    Ok(report_propagation(&response, wait, "refuse the user"))
}

fn request_with_wait(client: &AdminClient, target: &str, mut body: Value, wait: &WaitArgs) -> Result<Value, CommandError> {
    if let Some(seconds) = wait.wait {
        body["wait"] = seconds.into();
    }
    let timeout = REQUEST_TIMEOUT + Duration::from_secs(wait.wait.unwrap_or(0));
    client.post_json(target, &body, timeout)
}

/// Prints which hosts have confirmed a revocation and, for each other host, until when it `may` act as before. Complete only if no host
/// can accept it any more.
fn report_propagation(response: &Value, wait: &WaitArgs, may: &str) -> Completion {
    let list = |name: &str| response[name].as_array().cloned().unwrap_or_default();
    for host in list("in_force") {
        print_line(&format!("in force on {}", field_text(&host)));
    }
    let pending = list("pending");
    for host in &pending {
        let note = host["note"].as_str().map(|note| format!(" ({note})")).unwrap_or_default();
        print_line(&format!(
            "not confirmed by {}: it may {may} until {}; last seen {}; instance {}, at most {} s without the primary{note}",
            field_text(&host["host"]),
            field_text(&host["until"]),
            field_text(&host["last_seen"]),
            instance_text(host),
            host["max_stale"],
        ));
    }
    let missing = print_missing_hosts(response);
    let under_way = response["answers_under_way"] == true;
    if under_way {
        print_line(&format!("the primary is still sending answers from before: they may {may}"));
    }
    if wait.wait.is_none() || !(missing || under_way || !pending.is_empty()) { Completion::Complete } else { Completion::Partial }
}
