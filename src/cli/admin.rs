//! `sidegate admin`: the operator of the primary applies, exports, revokes, and sees the hosts.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::cli::arguments::{Admin, Wait};
use crate::cli::ask::{Daemon, PATIENCE};
use crate::cli::outcome::{Done, Failure, Outcome, say};
use crate::net::message::{CutOff, Outgoing};

/// How long a large file may take to be applied.
const APPLY_PATIENCE: Duration = Duration::from_secs(1800);
/// How much of a file is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Runs one of the operator's commands.
pub fn run(socket: &Path, action: Admin) -> Outcome {
    let daemon = Daemon::at(socket)?;
    match action {
        Admin::Apply { file, prune, accept_loss } => apply(&daemon, &file, prune, accept_loss),
        Admin::Export => daemon.copy("/-/admin/export", APPLY_PATIENCE).map(|()| Done::Wholly),
        Admin::RevokeKey { id, wait } => in_force(&daemon, "/-/admin/revoke-key", json!({"id": id}), &wait),
        Admin::BlockUser { username, wait } => in_force(&daemon, "/-/admin/block-user", json!({"username": username}), &wait),
        Admin::Hosts => hosts(&daemon),
        Admin::ForgetHost { host } => simple(&daemon, "/-/admin/forget-host", &json!({"host": host})),
        Admin::AcceptLoss => simple(&daemon, "/-/admin/accept-loss", &json!({})),
        Admin::NewEpoch => simple(&daemon, "/-/admin/new-epoch", &json!({})),
        Admin::Status => {
            let answer = daemon.ask(Method::GET, "/-/admin/status", PATIENCE)?;
            say(&pretty(&answer.body));
            Ok(Done::Wholly)
        }
    }
}

fn apply(daemon: &Daemon, file: &Path, prune: bool, accept_loss: bool) -> Outcome {
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(file).map_err(|error| Failure::while_doing(&file.display().to_string(), error))?)
    };
    let target = format!("/-/admin/apply?prune={prune}&accept_loss={accept_loss}");
    let answer = daemon.send(Method::POST, &target, streamed(source), APPLY_PATIENCE);
    let answer = answer.map_err(|refused| Failure(format!("{}: {refused}", file.display())))?;
    summary(&answer.body);
    Ok(Done::Wholly)
}

/// A file as a body; one that cannot be read to its end looks cut off, so that it is not applied.
fn streamed(mut source: Box<dyn Read + Send>) -> Outgoing {
    let (sender, pieces) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Err(CutOff),
            };
            let ended = piece.is_err();
            if sender.blocking_send(piece).is_err() || ended {
                return;
            }
        }
    });
    Outgoing::stream(pieces)
}

fn summary(body: &Value) {
    let number = |name: &str| body[name].as_u64().unwrap_or(0);
    say(&format!(
        "{} added, {} changed, {} unchanged, {} removed",
        number("added"),
        number("changed"),
        number("unchanged"),
        number("removed")
    ));
    if let Some(kinds) = body["kinds"].as_object() {
        for (kind, counts) in kinds {
            let moved = ["added", "changed", "removed"].iter().any(|name| counts[*name].as_u64().unwrap_or(0) > 0);
            if moved {
                say(&format!("  {kind}: {} added, {} changed, {} removed", counts["added"], counts["changed"], counts["removed"]));
            }
        }
    }
    if let Some(seq) = body["seq"].as_u64() {
        say(&format!("the directory stands at seq {seq}"));
    }
}

fn simple(daemon: &Daemon, target: &str, body: &Value) -> Outcome {
    let answer = daemon.tell(target, body, PATIENCE)?;
    say(answer.body["message"].as_str().unwrap_or("done"));
    Ok(Done::Wholly)
}

/// A change that must be in force: says where it is, and for each other host until when it may not be.
fn in_force(daemon: &Daemon, target: &str, mut body: Value, wait: &Wait) -> Outcome {
    if let Some(seconds) = wait.wait {
        body["wait"] = seconds.into();
    }
    let patience = PATIENCE + Duration::from_secs(wait.wait.unwrap_or(0));
    let answer = daemon.tell(target, &body, patience)?;
    say(answer.body["message"].as_str().unwrap_or("done"));
    if wait.wait.is_none() {
        return Ok(Done::Wholly);
    }
    let list = |name: &str| answer.body[name].as_array().cloned().unwrap_or_default();
    for host in list("in_force") {
        say(&format!("in force on {}", host["host"].as_str().or(host.as_str()).unwrap_or("?")));
    }
    let pending = list("pending");
    for host in &pending {
        say(&format!(
            "NOT yet on {}: last seen {}, may let it in until {}",
            host["host"].as_str().unwrap_or("?"),
            host["last_seen"].as_str().unwrap_or("never"),
            host["until"].as_str().unwrap_or("unknown"),
        ));
    }
    Ok(if pending.is_empty() { Done::Wholly } else { Done::InPart })
}

fn hosts(daemon: &Daemon) -> Outcome {
    let answer = daemon.ask(Method::GET, "/-/admin/hosts", PATIENCE)?;
    let hosts = answer.body["hosts"].as_array().cloned().unwrap_or_default();
    if hosts.is_empty() {
        say("no host has followed yet");
    }
    for host in hosts {
        let text = |name: &str| match &host[name] {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        say(&format!(
            "{}\tseq {}\tlag {}\tlast seen {}\tconnected {}{}",
            text("host"),
            text("seq"),
            text("lag"),
            text("last_seen"),
            text("connected"),
            host["alarm"].as_str().map(|alarm| format!("\tALARM: {alarm}")).unwrap_or_default(),
        ));
    }
    Ok(Done::Wholly)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
