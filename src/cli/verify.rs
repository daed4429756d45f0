//! `sidegate verify`: is the store of this host what the primary has? Exit code 0: equal; 1: it differs; 2: it could not be compared.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::admin_client::AdminClient;
use crate::cli::arguments::SidecarArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_error};
use crate::cli::output::{field_text, print_line};

/// How long reading a large store through may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(600);

/// Compares the store with the primary.
pub fn run(sidecar: &SidecarArgs) -> CommandResult {
    let report = AdminClient::new(&sidecar.socket).and_then(|client| client.post_json("/-/admin/verify", &json!({}), VERIFY_TIMEOUT));
    Ok(report.map_or_else(|error| report_uncompared(&error), |report| print_report(&report, sidecar.json)))
}

fn report_uncompared(error: &CommandError) -> Completion {
    print_error(error);
    Completion::Undecided
}

fn print_report(report: &Value, json: bool) -> Completion {
    let text = if json { report.to_string() } else { field_text(&report["message"]) };
    print_line(&text);
    outcome(report)
}

fn outcome(report: &Value) -> Completion {
    match report["finding"].as_str() {
        Some("equal") => Completion::Complete,
        Some("damaged" | "unlike") => Completion::Refused,
        _ => Completion::Undecided,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::outcome;
    use crate::cli::exit_status::Completion;

    #[test]
    fn only_what_was_compared_and_found_equal_is_equal() {
        let of = |finding: &str| outcome(&json!({"finding": finding}));
        assert_eq!(
            [of("equal"), of("unlike"), of("damaged"), of("primary_not_heard")],
            [Completion::Complete, Completion::Refused, Completion::Refused, Completion::Undecided]
        );
        assert_eq!(outcome(&json!({})), Completion::Undecided);
    }
}
