//! `sidegate admin apply`: sends a directory file, and prints what the primary made of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::cli::admin::revocations::print_revocations;
use crate::cli::admin::upload::stream_file;
use crate::cli::admin_client::{AdminClient, TRANSFER_TIMEOUT};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;

/// Applies a file; `target` is the request that says how.
pub fn apply(client: &AdminClient, file: &Path, target: &str) -> CommandResult {
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| CommandError::with_context(&file.display().to_string(), error))?)
    };
    let summary = client.post(target, stream_file(source), TRANSFER_TIMEOUT);
    print_summary(&summary.map_err(|error| CommandError::with_context(&file.display().to_string(), error))?);
    Ok(Completion::Complete)
}

/// Prints the counts of an apply: in all, and of each kind of record with a change.
fn print_summary(body: &Value) {
    print_line(&format_totals(body));
    for (kind, counts) in body["kinds"].as_object().into_iter().flatten() {
        let has_changes = ["added", "changed", "removed"].iter().any(|name| counts[*name].as_u64().unwrap_or(0) > 0);
        if has_changes {
            print_line(&format!("  {kind}: {} added, {} changed, {} removed", counts["added"], counts["changed"], counts["removed"]));
        }
    }
    print_revocations(&body["revocations"]);
    print_line(&format!("the directory is at seq {}", body["head"]["seq"]));
}

/// Returns the counts of an apply in one line.
pub fn format_totals(body: &Value) -> String {
    let total = |name: &str| body[name].as_u64().unwrap_or(0);
    format!("{} added, {} changed, {} unchanged, {} removed", total("added"), total("changed"), total("unchanged"), total("removed"))
}
