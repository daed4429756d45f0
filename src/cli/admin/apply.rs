//! `sidegate admin apply`: sends a directory file, and prints what the primary made of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::cli::admin::revocations::print_revocations;
use crate::cli::admin::upload::stream_file;
use crate::cli::admin_client::{AdminClient, TRANSFER_TIMEOUT};
use crate::cli::arguments::ApplyArgs;
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::progress::{Progress, ProgressReader};

/// Applies a file, or says what that would do.
pub fn apply(client: &AdminClient, arguments: &ApplyArgs) -> CommandResult {
    let ApplyArgs { file, dry_run, prune, accept_loss, undo_revocations, progress } = arguments;
    let target = format!("/-/admin/apply?prune={prune}&accept_loss={accept_loss}&undo_revocations={undo_revocations}&dry_run={dry_run}");
    let name = file.display().to_string();
    let source = open(file, *progress).map_err(|error| CommandError::with_context(&name, error))?;
    let response = client.post(&target, stream_file(source), TRANSFER_TIMEOUT);
    let response = response.map_err(|error| CommandError::with_context(&name, error))?;
    print_summary(&response);
    match response["refusal"].as_str() {
        Some(refusal) => Err(CommandError::with_context(&name, format_args!("this file would be refused: {refusal}"))),
        None => Ok(Completion::Complete),
    }
}

/// Opens a file, or standard input for `-`, of which it is shown how much is sent.
fn open(path: &Path, with_progress: bool) -> io::Result<Box<dyn Read + Send>> {
    let (source, length): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        (Box::new(file), metadata.is_file().then_some(metadata.len()))
    };
    let progress = Progress::begin("sent", length, with_progress);
    Ok(Box::new(ProgressReader::new(source, progress, Some("sent; the primary reads and compares it"))))
}

/// Prints the counts of an apply: in all, and of each kind of record with a change.
fn print_summary(body: &Value) {
    let is_dry_run = body["how"] == "dry_run";
    print_line(&format!("{}{}", if is_dry_run { "would be: " } else { "" }, format_totals(body)));
    for (kind, counts) in body["kinds"].as_object().into_iter().flatten() {
        let has_changes = ["added", "changed", "removed"].iter().any(|name| counts[*name].as_u64().unwrap_or(0) > 0);
        if has_changes {
            print_line(&format!("  {kind}: {} added, {} changed, {} removed", counts["added"], counts["changed"], counts["removed"]));
        }
    }
    if let Some(redirects @ 1..) = body["redirects"].as_u64() {
        print_line(&format!("  renamed projects that keep their old paths: {redirects}"));
    }
    print_revocations(&body["revocations"]);
    let seq = &body["head"]["seq"];
    print_line(&match is_dry_run {
        true => format!("this was a dry run: nothing was changed; the directory is at seq {seq}"),
        false => format!("the directory is at seq {seq}"),
    });
}

/// Returns the counts of an apply in one line.
pub fn format_totals(body: &Value) -> String {
    let total = |name: &str| body[name].as_u64().unwrap_or(0);
    format!("{} added, {} changed, {} unchanged, {} removed", total("added"), total("changed"), total("unchanged"), total("removed"))
}
