//! `sidegate admin hosts` and `forget-host`: the hosts that follow, and those that are no more.

use serde_json::{Value, json};

use crate::cli::admin::missing_hosts::print_missing_hosts;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Lists the hosts, and how far each has followed.
pub fn list(client: &AdminClient) -> CommandResult {
    let response = client.get("/-/admin/hosts", REQUEST_TIMEOUT)?;
    let hosts = response["hosts"].as_array().cloned().unwrap_or_default();
    if hosts.is_empty() {
        print_line("no host has followed yet");
    }
    print_missing_hosts(&response);
    for host in hosts {
        let alarm = host["alarm"].as_str().map(|alarm| format!("\tALARM: {alarm}")).unwrap_or_default();
        let own_alarms: Vec<&str> = host["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let own_alarms = if own_alarms.is_empty() { String::new() } else { format!("\tITS ALARMS: {}", own_alarms.join(", ")) };
        let note = host["note"].as_str().map(|note| format!("\t{note}")).unwrap_or_default();
        print_line(&format!(
            "{}\t{}\tseq {}\tbehind {}\tlast seen {}\tmay answer without the primary until {} (at most {} s)\tinstance {}\tversion {}{own_alarms}{alarm}{note}",
            field_text(&host["host"]),
            match (&host["connected"], &host["lapsed"]) {
                (Value::Bool(true), _) => "connected",
                (_, Value::Bool(true)) => "lapsed",
                _ => "away",
            },
            field_text(&host["seq"]),
            field_text(&host["lag"]),
            field_text(&host["last_seen"]),
            field_text(&host["until"]),
            host["max_stale"],
            instance_text(&host),
            host["version"].as_str().unwrap_or("not said"),
        ));
    }
    Ok(Completion::Complete)
}

/// Ends the waiting for a host, or for one of its instances.
pub fn forget(client: &AdminClient, host: &str, instance: Option<&str>) -> CommandResult {
    let response = client.post_json("/-/admin/forget-host", &json!({"host": host, "instance": instance}), REQUEST_TIMEOUT)?;
    print_line(&format!("{}: no command waits for it any more", field_text(&response["message"])));
    Ok(Completion::Complete)
}

/// Returns the id of a host's store.
pub fn instance_text(host: &Value) -> String {
    host["instance"].as_str().unwrap_or("not named yet").to_owned()
}
