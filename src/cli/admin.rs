//! `sidegate admin`: the commands of the primary's operator. They apply, export, revoke and list the hosts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{AdminCommand, WaitArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion};
use crate::cli::output::{field_text, print_line};
use crate::cli::private_file::PrivateFile;
use crate::net::body::{OutgoingBody, StreamAborted};

/// How long applying a large file may take.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1800);
/// How many bytes of a file are read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Runs one of the commands at the primary that listens on `socket`.
pub fn run(socket: &Path, action: AdminCommand) -> CommandResult {
    let client = AdminClient::new(socket)?;
    match action {
        AdminCommand::Apply { file, prune, accept_loss, undo_revocations } => {
            let target = format!("/-/admin/apply?prune={prune}&accept_loss={accept_loss}&undo_revocations={undo_revocations}");
            apply(&client, &file, &target)
        }
        AdminCommand::Export { output } => export(&client, output.as_deref()),
        AdminCommand::RevokeKey { id, wait } => revoke_key(&client, id, &wait),
        AdminCommand::BlockUser { username, wait } => block_user(&client, &username, &wait),
        AdminCommand::Revocations => list_revocations(&client),
        AdminCommand::Hosts => list_hosts(&client),
        AdminCommand::ForgetHost { host, instance } => forget_host(&client, &host, instance.as_deref()),
        AdminCommand::AcceptLoss => accept_loss(&client),
        AdminCommand::NewEpoch => new_epoch(&client),
        AdminCommand::Status => {
            let status = client.get("/-/admin/status", REQUEST_TIMEOUT)?;
            print_line(&format!("{status:#}"));
            Ok(Completion::Complete)
        }
    }
}

fn apply(client: &AdminClient, file: &Path, target: &str) -> CommandResult {
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| CommandError::with_context(&file.display().to_string(), error))?)
    };
    let summary = client.post(target, stream_file(source), APPLY_TIMEOUT);
    print_summary(&summary.map_err(|error| CommandError::with_context(&file.display().to_string(), error))?);
    Ok(Completion::Complete)
}

/// Prints the directory, or writes it to a file: it holds the tokens of storages, so the file is for its owner only.
fn export(client: &AdminClient, output: Option<&Path>) -> CommandResult {
    match output.filter(|path| *path != Path::new("-")) {
        None => client.copy_to("/-/admin/export", APPLY_TIMEOUT, &mut io::stdout().lock())?,
        Some(path) => {
            let mut file = PrivateFile::create(path).map_err(CommandError::new)?;
            client
                .copy_to("/-/admin/export", APPLY_TIMEOUT, &mut file)
                .map_err(|error| CommandError::with_context("nothing was written", error))?;
            file.replace_target().map_err(CommandError::new)?;
            print_line(&format!("exported the directory to {}, which only its owner may read", path.display()));
        }
    }
    Ok(Completion::Complete)
}

/// Returns a file as the body of a request. One that cannot be read to its end aborts the request, so that nothing is applied.
pub fn stream_file(mut source: Box<dyn Read + Send>) -> OutgoingBody {
    let (sender, chunks) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let chunk = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Err(StreamAborted),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    OutgoingBody::from_channel(chunks)
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

/// Prints which lines of the file were not applied as they are, because the operator revoked what they have, and which revocations ended.
fn print_revocations(revocations: &Value) {
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
fn format_revocation(revocation: &Value) -> String {
    let text = |name: &str| field_text(&revocation[name]);
    let (id, at, by) = (text("id"), text("at"), text("by"));
    match revocation["kind"].as_str() {
        Some("key") => format!("key {id} ({}), revoked {at} by {by}", text("fingerprint")),
        _ => format!("user {} (id {id}), blocked {at} by {by}", text("username")),
    }
}

fn list_revocations(client: &AdminClient) -> CommandResult {
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

/// Returns the counts of an apply in one line.
pub fn format_totals(body: &Value) -> String {
    let total = |name: &str| body[name].as_u64().unwrap_or(0);
    format!("{} added, {} changed, {} unchanged, {} removed", total("added"), total("changed"), total("unchanged"), total("removed"))
}

fn accept_loss(client: &AdminClient) -> CommandResult {
    let response = client.post_json("/-/admin/accept-loss", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("hosts take a snapshot that lacks many of their keys until {}", field_text(&response["accept_loss_until"])));
    Ok(Completion::Complete)
}

fn new_epoch(client: &AdminClient) -> CommandResult {
    let response = client.post_json("/-/admin/new-epoch", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("a new epoch has begun at seq {}; every host takes a whole snapshot", response["head"]["seq"]));
    print_missing_hosts(&response);
    Ok(Completion::Complete)
}

fn forget_host(client: &AdminClient, host: &str, instance: Option<&str>) -> CommandResult {
    let response = client.post_json("/-/admin/forget-host", &json!({"host": host, "instance": instance}), REQUEST_TIMEOUT)?;
    print_line(&format!("{}: no command waits for it any more", field_text(&response["message"])));
    Ok(Completion::Complete)
}

fn revoke_key(client: &AdminClient, id: u64, wait: &WaitArgs) -> CommandResult {
    let response = request_with_wait(client, "/-/admin/revoke-key", json!({"id": id}), wait)?;
    let revoked = &response["revoked"];
    print_line(&format!("key {} ({}) is revoked at seq {}", revoked["id"], field_text(&revoked["fingerprint"]), response["head"]["seq"]));
    Ok(report_propagation(&response, wait, "the key"))
}

fn block_user(client: &AdminClient, username: &str, wait: &WaitArgs) -> CommandResult {
    let response = request_with_wait(client, "/-/admin/block-user", json!({"username": username}), wait)?;
    let blocked = &response["blocked"];
    print_line(&format!(
        "{} is blocked at seq {} (was {})",
        field_text(&blocked["username"]),
        response["head"]["seq"],
        field_text(&blocked["before"])
    ));
    Ok(report_propagation(&response, wait, "the user"))
}

fn request_with_wait(client: &AdminClient, target: &str, mut body: Value, wait: &WaitArgs) -> Result<Value, CommandError> {
    if let Some(seconds) = wait.wait {
        body["wait"] = seconds.into();
    }
    let timeout = REQUEST_TIMEOUT + Duration::from_secs(wait.wait.unwrap_or(0));
    client.post_json(target, &body, timeout)
}

/// Prints that hosts may be missing from those that are listed, if that is so. Returns whether it is.
fn print_missing_hosts(response: &Value) -> bool {
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

/// Prints which hosts have confirmed a revocation and, for each other host, until when it may accept `revoked`. Complete only if no host
/// can accept it any more.
fn report_propagation(response: &Value, wait: &WaitArgs, revoked: &str) -> Completion {
    let list = |name: &str| response[name].as_array().cloned().unwrap_or_default();
    for host in list("in_force") {
        print_line(&format!("in force on {}", field_text(&host)));
    }
    let pending = list("pending");
    for host in &pending {
        let note = host["note"].as_str().map(|note| format!(" ({note})")).unwrap_or_default();
        print_line(&format!(
            "not confirmed by {}: it may accept {revoked} until {}; last seen {}; instance {}, at most {} s without the primary{note}",
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
        print_line(&format!("the primary is still sending answers from before: they may accept {revoked}"));
    }
    if wait.wait.is_none() || !(missing || under_way || !pending.is_empty()) { Completion::Complete } else { Completion::Partial }
}

fn instance_text(host: &Value) -> String {
    host["instance"].as_str().unwrap_or("not named yet").to_owned()
}

fn list_hosts(client: &AdminClient) -> CommandResult {
    let response = client.get("/-/admin/hosts", REQUEST_TIMEOUT)?;
    let hosts = response["hosts"].as_array().cloned().unwrap_or_default();
    if hosts.is_empty() {
        print_line("no host has followed yet");
    }
    print_missing_hosts(&response);
    for host in hosts {
        let alarm = host["alarm"].as_str().map(|alarm| format!("\tALARM: {alarm}")).unwrap_or_default();
        let note = host["note"].as_str().map(|note| format!("\t{note}")).unwrap_or_default();
        print_line(&format!(
            "{}\t{}\tseq {}\tbehind {}\tlast seen {}\tmay answer without the primary until {} (at most {} s)\tinstance {}{alarm}{note}",
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
        ));
    }
    Ok(Completion::Complete)
}
