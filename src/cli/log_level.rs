//! `sidegate log-level`: how much a daemon logs, shown or changed while it runs.

use serde_json::json;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::LogLevelArgs;
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::{field_text, print_line};

/// Prints the level of the log, or changes it.
pub fn run(arguments: &LogLevelArgs) -> CommandResult {
    let client = AdminClient::new(&arguments.sidecar.socket)?;
    let response = match &arguments.level {
        Some(level) => client.post_json("/-/admin/log-level", &json!({"level": level}), REQUEST_TIMEOUT)?,
        None => client.get("/-/admin/log-level", REQUEST_TIMEOUT)?,
    };
    let text = if arguments.sidecar.json { response.to_string() } else { field_text(&response["message"]) };
    print_line(&text);
    Ok(Completion::Complete)
}
