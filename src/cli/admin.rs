//! `sidegate admin`: the operator of the primary applies, exports, revokes, and sees the hosts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::arguments::{AdminCommand, WaitArgs};
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_line};
use crate::net::body::{OutgoingBody, StreamAborted};

/// How long a large file may take to be applied.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1800);
/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Runs one of the operator's commands.
pub fn run(socket: &Path, action: AdminCommand) -> CommandResult {
    let daemon = AdminClient::new(socket)?;
    match action {
        AdminCommand::Apply { file, prune, accept_loss } => apply(&daemon, &file, prune, accept_loss),
        AdminCommand::Export => daemon.copy_to_stdout("/-/admin/export", APPLY_TIMEOUT).map(|()| Completion::Complete),
        AdminCommand::RevokeKey { id, wait } => revoke_key(&daemon, id, &wait),
        AdminCommand::BlockUser { username, wait } => block_user(&daemon, &username, &wait),
        AdminCommand::Hosts => list_hosts(&daemon),
        AdminCommand::ForgetHost { host } => forget_host(&daemon, &host),
        AdminCommand::AcceptLoss => accept_loss(&daemon),
        AdminCommand::NewEpoch => new_epoch(&daemon),
        AdminCommand::Status => {
            let answer = daemon.request(Method::GET, "/-/admin/status", REQUEST_TIMEOUT)?;
            print_line(&pretty_json(&answer.body));
            Ok(Completion::Complete)
        }
    }
}

fn apply(daemon: &AdminClient, file: &Path, prune: bool, accept_loss: bool) -> CommandResult {
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| CommandError::with_context(&file.display().to_string(), error))?)
    };
    let target = format!("/-/admin/apply?prune={prune}&accept_loss={accept_loss}");
    let answer = daemon.send(Method::POST, &target, stream_file(source), APPLY_TIMEOUT);
    let answer = answer.map_err(|refused| CommandError(format!("{}: {refused}", file.display())))?;
    print_summary(&answer.body);
    Ok(Completion::Complete)
}

/// A file as a body; one that cannot be read to its end looks cut off, so that it is not applied.
fn stream_file(mut source: Box<dyn Read + Send>) -> OutgoingBody {
    let (sender, pieces) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Err(StreamAborted),
            };
            let ended = piece.is_err();
            if sender.blocking_send(piece).is_err() || ended {
                return;
            }
        }
    });
    OutgoingBody::from_channel(pieces)
}

/// What became of the records: in all, and of each kind that moved.
fn print_summary(body: &Value) {
    print_line(&format_totals(body));
    for (kind, of) in body["kinds"].as_object().into_iter().flatten() {
        let moved = ["added", "changed", "removed"].iter().any(|name| of[*name].as_u64().unwrap_or(0) > 0);
        if moved {
            print_line(&format!("  {kind}: {} added, {} changed, {} removed", of["added"], of["changed"], of["removed"]));
        }
    }
    print_line(&format!("the directory stands at seq {}", body["head"]["seq"]));
}

/// The counts of an apply in one line.
pub(in crate::cli) fn format_totals(body: &Value) -> String {
    let total = |name: &str| body[name].as_u64().unwrap_or(0);
    format!("{} added, {} changed, {} unchanged, {} removed", total("added"), total("changed"), total("unchanged"), total("removed"))
}

fn accept_loss(daemon: &AdminClient) -> CommandResult {
    let answer = daemon.post_json("/-/admin/accept-loss", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("hosts take a snapshot that lacks many of their keys until {}", field_text(&answer.body["accept_loss_until"])));
    Ok(Completion::Complete)
}

fn new_epoch(daemon: &AdminClient) -> CommandResult {
    let answer = daemon.post_json("/-/admin/new-epoch", &json!({}), REQUEST_TIMEOUT)?;
    print_line(&format!("a new epoch has begun at seq {}; every host takes a whole snapshot", answer.body["head"]["seq"]));
    Ok(Completion::Complete)
}

fn forget_host(daemon: &AdminClient, host: &str) -> CommandResult {
    daemon.post_json("/-/admin/forget-host", &json!({"host": host}), REQUEST_TIMEOUT)?;
    print_line(&format!("{host} is forgotten: nothing waits for it any more"));
    Ok(Completion::Complete)
}

fn revoke_key(daemon: &AdminClient, id: u64, wait: &WaitArgs) -> CommandResult {
    let answer = request_with_wait(daemon, "/-/admin/revoke-key", json!({"id": id}), wait)?;
    let revoked = &answer["revoked"];
    print_line(&format!("key {} ({}) is revoked at seq {}", revoked["id"], field_text(&revoked["fingerprint"]), answer["head"]["seq"]));
    Ok(report_propagation(&answer, wait, "the key"))
}

fn block_user(daemon: &AdminClient, username: &str, wait: &WaitArgs) -> CommandResult {
    let answer = request_with_wait(daemon, "/-/admin/block-user", json!({"username": username}), wait)?;
    let blocked = &answer["blocked"];
    print_line(&format!(
        "{} is blocked at seq {} (was {})",
        field_text(&blocked["username"]),
        answer["head"]["seq"],
        field_text(&blocked["before"])
    ));
    Ok(report_propagation(&answer, wait, "the user"))
}

fn request_with_wait(daemon: &AdminClient, target: &str, mut body: Value, wait: &WaitArgs) -> Result<Value, CommandError> {
    if let Some(seconds) = wait.wait {
        body["wait"] = seconds.into();
    }
    let patience = REQUEST_TIMEOUT + Duration::from_secs(wait.wait.unwrap_or(0));
    Ok(daemon.post_json(target, &body, patience)?.body)
}

/// Prints where a revocation is in force, and until when each other host may still accept `revoked`.
fn report_propagation(answer: &Value, wait: &WaitArgs, revoked: &str) -> Completion {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    for host in list("in_force") {
        print_line(&format!("in force on {}", field_text(&host)));
    }
    let others = list("pending");
    for host in &others {
        let until = host["until"].as_str().map_or_else(|| "for an unknown time".to_owned(), |until| format!("until {until}"));
        let note = host["note"].as_str().map(|note| format!(" ({note})")).unwrap_or_default();
        print_line(&format!(
            "not confirmed by {}: it may accept {revoked} {until}; last seen {}{note}",
            field_text(&host["host"]),
            field_text(&host["last_seen"]),
        ));
    }
    if wait.wait.is_none() || others.is_empty() { Completion::Complete } else { Completion::Partial }
}

fn list_hosts(daemon: &AdminClient) -> CommandResult {
    let answer = daemon.request(Method::GET, "/-/admin/hosts", REQUEST_TIMEOUT)?;
    let hosts = answer.body["hosts"].as_array().cloned().unwrap_or_default();
    if hosts.is_empty() {
        print_line("no host has followed yet");
    }
    for host in hosts {
        let alarm = host["alarm"].as_str().map(|alarm| format!("\tALARM: {alarm}")).unwrap_or_default();
        print_line(&format!(
            "{}\t{}\tseq {}\tbehind {}\tlast seen {}\tmay answer without us until {}{alarm}",
            field_text(&host["host"]),
            if host["connected"] == true { "connected" } else { "away" },
            field_text(&host["seq"]),
            field_text(&host["lag"]),
            field_text(&host["last_seen"]),
            field_text(&host["until"]),
        ));
    }
    Ok(Completion::Complete)
}

/// A field as a person reads it.
fn field_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn pretty_json(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
