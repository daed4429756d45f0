//! `sidegate admin accept-loss` and `new-epoch`: what hosts may do about a directory that is not the one they knew.

use serde_json::json;

use crate::cli::admin::missing_hosts::print_missing_hosts;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Lets hosts take a snapshot that lacks many of their keys.
pub fn accept_loss(client: &AdminClient) -> CommandResult {
    let response = client.post_json("/-/admin/accept-loss", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("hosts take a snapshot that lacks many of their keys until {}", field_text(&response["accept_loss_until"])));
    Ok(Completion::Complete)
}

/// Begins a new epoch.
pub fn new_epoch(client: &AdminClient) -> CommandResult {
    let response = client.post_json("/-/admin/new-epoch", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("a new epoch has begun at seq {}; every host takes a whole snapshot", response["head"]["seq"]));
    print_missing_hosts(&response);
    Ok(Completion::Complete)
}
