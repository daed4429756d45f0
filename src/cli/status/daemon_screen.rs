//! The screen of whichever daemon sent a status.

use serde_json::Value;

use crate::cli::exit_status::CommandError;
use crate::cli::status::screen::Screen;
use crate::cli::status::{mirror, primary, sidecar};

/// Returns the screen. Fails for JSON that is no status.
pub fn screen_of(status: &Value) -> Result<Screen, CommandError> {
    match status["daemon"].as_str() {
        Some("mirror") => mirror::screen(status),
        Some("primary") => primary::screen(status),
        _ => sidecar::screen(status),
    }
    .map_err(|error| {
        CommandError(format!("this status cannot be read ({error}); is the daemon of another version? `--json` prints it as it is"))
    })
}
