//! What is said of hosts that the primary may not know.

use serde_json::Value;

use crate::cli::output::{field_text, print_line};

/// Prints that hosts may be missing from those that are listed, if that is so. Returns whether it is.
pub fn print_missing_hosts(response: &Value) -> bool {
    let missing = &response["missing_hosts"];
    if missing.is_null() {
        return false;
    }
    print_line(&format!(
        "hosts that this primary does not know may answer without it until {}: {} at {}",
        field_text(&missing["until"]),
        field_text(&missing["reason"]),
        field_text(&missing["since"]),
    ));
    true
}
