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
        Admin::RevokeKey { id, wait } => revoke_key(&daemon, id, &wait),
        Admin::BlockUser { username, wait } => block_user(&daemon, &username, &wait),
        Admin::Hosts => hosts(&daemon),
        Admin::ForgetHost { host } => forget_host(&daemon, &host),
        Admin::AcceptLoss => accept_loss(&daemon),
        Admin::NewEpoch => new_epoch(&daemon),
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

/// What became of the records: in all, and of each kind that moved.
fn summary(body: &Value) {
    say(&totals(body));
    for (kind, of) in body["kinds"].as_object().into_iter().flatten() {
        let moved = ["added", "changed", "removed"].iter().any(|name| of[*name].as_u64().unwrap_or(0) > 0);
        if moved {
            say(&format!("  {kind}: {} added, {} changed, {} removed", of["added"], of["changed"], of["removed"]));
        }
    }
    say(&format!("the directory stands at seq {}", body["head"]["seq"]));
}

/// The counts of an apply in one line.
pub(in crate::cli) fn totals(body: &Value) -> String {
    let total = |name: &str| body[name].as_u64().unwrap_or(0);
    format!("{} added, {} changed, {} unchanged, {} removed", total("added"), total("changed"), total("unchanged"), total("removed"))
}

fn accept_loss(daemon: &Daemon) -> Outcome {
    let answer = daemon.tell("/-/admin/accept-loss", &json!({}), PATIENCE)?;
    say(&format!("hosts take a snapshot that lacks many of their keys until {}", text(&answer.body["accept_loss_until"])));
    Ok(Done::Wholly)
}

fn new_epoch(daemon: &Daemon) -> Outcome {
    let answer = daemon.tell("/-/admin/new-epoch", &json!({}), PATIENCE)?;
    say(&format!("a new epoch has begun at seq {}; every host takes a whole snapshot", answer.body["head"]["seq"]));
    Ok(Done::Wholly)
}

fn forget_host(daemon: &Daemon, host: &str) -> Outcome {
    daemon.tell("/-/admin/forget-host", &json!({"host": host}), PATIENCE)?;
    say(&format!("{host} is forgotten: nothing waits for it any more"));
    Ok(Done::Wholly)
}

fn revoke_key(daemon: &Daemon, id: u64, wait: &Wait) -> Outcome {
    let answer = waited_for(daemon, "/-/admin/revoke-key", json!({"id": id}), wait)?;
    let revoked = &answer["revoked"];
    say(&format!("key {} ({}) is revoked at seq {}", revoked["id"], text(&revoked["fingerprint"]), answer["head"]["seq"]));
    Ok(in_force(&answer, wait))
}

fn block_user(daemon: &Daemon, username: &str, wait: &Wait) -> Outcome {
    let answer = waited_for(daemon, "/-/admin/block-user", json!({"username": username}), wait)?;
    let blocked = &answer["blocked"];
    say(&format!("{} is blocked at seq {} (was {})", text(&blocked["username"]), answer["head"]["seq"], text(&blocked["before"])));
    Ok(in_force(&answer, wait))
}

fn waited_for(daemon: &Daemon, target: &str, mut body: Value, wait: &Wait) -> Result<Value, Failure> {
    if let Some(seconds) = wait.wait {
        body["wait"] = seconds.into();
    }
    let patience = PATIENCE + Duration::from_secs(wait.wait.unwrap_or(0));
    Ok(daemon.tell(target, &body, patience)?.body)
}

/// Says where a change is in force, and for each other host until when it may not be.
fn in_force(answer: &Value, wait: &Wait) -> Done {
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    for host in list("in_force") {
        say(&format!("in force on {}", text(&host)));
    }
    let others = list("pending");
    for host in &others {
        let until = host["until"].as_str().map_or_else(|| "it never said until when".to_owned(), |until| format!("until {until}"));
        let note = host["note"].as_str().map(|note| format!(" ({note})")).unwrap_or_default();
        say(&format!(
            "NOT known to be in force on {}: last seen {}; while it cannot reach the primary it may answer from before, {until}{note}",
            text(&host["host"]),
            text(&host["last_seen"]),
        ));
    }
    if wait.wait.is_none() || others.is_empty() { Done::Wholly } else { Done::InPart }
}

fn hosts(daemon: &Daemon) -> Outcome {
    let answer = daemon.ask(Method::GET, "/-/admin/hosts", PATIENCE)?;
    let hosts = answer.body["hosts"].as_array().cloned().unwrap_or_default();
    if hosts.is_empty() {
        say("no host has followed yet");
    }
    for host in hosts {
        let alarm = host["alarm"].as_str().map(|alarm| format!("\tALARM: {alarm}")).unwrap_or_default();
        say(&format!(
            "{}\t{}\tseq {}\tbehind {}\tlast seen {}\tmay answer without us until {}{alarm}",
            text(&host["host"]),
            if host["connected"] == true { "connected" } else { "away" },
            text(&host["seq"]),
            text(&host["lag"]),
            text(&host["last_seen"]),
            text(&host["until"]),
        ));
    }
    Ok(Done::Wholly)
}

/// A field as a person reads it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}
