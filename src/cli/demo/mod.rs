//! `sidegate demo`: the main job on a fresh machine. A primary with a sample directory and a sidecar, both real processes of this very
//! program in a temporary folder; real requests; where sshd is installed and we are root, real logins; then the primary is killed.

mod daemon;
mod folder;
mod login;
mod sample;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::cli::admin::totals;
use crate::cli::ask::{Daemon, PATIENCE};
use crate::cli::demo::daemon::Child;
use crate::cli::demo::folder::Folder;
use crate::cli::demo::login::{Login, Person};
use crate::cli::outcome::{Done, Failure, Outcome, say};
use crate::model::clock;
use crate::net::message::Outgoing;
use crate::wire::params::encode;

/// How long a daemon may take to say that it serves.
const START: Duration = Duration::from_secs(20);

/// Runs the demonstration.
pub fn run(once: bool) -> Outcome {
    let folder = Folder::make()?;
    let people = sample::people(&folder)?;
    say(&format!("1. A primary and a sidecar start in {}", folder.path().display()));
    let mut primary = Child::start(&folder, "primary", START)?;
    let operator = Daemon::at(&folder.primary_socket())?;
    apply(&operator, &people)?;
    let sidecar = Child::start(&folder, "serve", START)?;
    let host = Daemon::at(&folder.sidecar_socket())?;
    follow(&host)?;
    say("2. Questions to the sidecar, as sshd and gitlab-shell ask them:");
    questions(&host, &people)?;
    let login = Login::prepare(&folder)?;
    logins(login.as_ref(), &people);
    revoke(&operator, &host, login.as_ref(), &people)?;
    say("5. The primary is killed (kill -9):");
    primary.kill();
    without_primary(&host, login.as_ref(), &people)?;
    say("\nThat was all of it. The primary starts again.");
    let _primary = Child::start(&folder, "primary", START)?;
    if !once {
        stay(&folder)?;
    }
    drop(sidecar);
    Ok(Done::Wholly)
}

fn apply(operator: &Daemon, people: &sample::People) -> Result<(), Failure> {
    let answer = operator.send(Method::POST, "/-/admin/apply?prune=false&accept_loss=false", Outgoing::of(people.directory()), PATIENCE)?;
    say(&format!("   the sample directory is applied: {}", totals(&answer.body)));
    Ok(())
}

/// Waits until the sidecar has followed: its status says what it holds.
fn follow(host: &Daemon) -> Result<(), Failure> {
    let begun = clock::boot();
    loop {
        let status = host.ask(Method::GET, "/-/admin/status", PATIENCE)?.body;
        if status["freshness"]["keys"]["state"] == "fresh" {
            return Ok(());
        }
        if clock::boot().since(begun) > START {
            return Err(Failure(format!("the sidecar did not come to follow the primary: {}", status["follower"])));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn questions(host: &Daemon, people: &sample::People) -> Result<(), Failure> {
    let key = |blob: &str| format!("/api/v4/internal/authorized_keys?{}", encode([("key", blob)]));
    show(host, "whose key is zoe's?", &key(&people.zoe.blob))?;
    show(host, "whose key is a stranger's?", &key(&people.stranger.blob))?;
    let pull = json!({"key_id": "1", "project": "tools/gate.git", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    allowed(host, people, "may zoe pull tools/gate?", &pull)?;
    let push = json!({"key_id": "2", "project": "tools/gate.git", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    allowed(host, people, "may ben, a reporter, push there?", &push)
}

fn show(host: &Daemon, asked: &str, target: &str) -> Result<(), Failure> {
    let begun = clock::boot();
    let said = match host.ask(Method::GET, target, PATIENCE) {
        Ok(answer) => {
            format!("key {} of {}", answer.body["id"], answer.body["key"].as_str().unwrap_or_default().rsplit(' ').nth(1).unwrap_or("?"))
        }
        Err(refused) => refused.to_string(),
    };
    say(&format!("   {asked:32} {said}  ({})", took(begun)));
    Ok(())
}

fn allowed(host: &Daemon, people: &sample::People, asked: &str, body: &Value) -> Result<(), Failure> {
    let begun = clock::boot();
    let mut body = body.clone();
    body["secret_token"] = people.shell_secret.clone().into();
    let said = match host.tell("/api/v4/internal/allowed", &body, PATIENCE) {
        Ok(answer) => format!(
            "yes: {} on {}",
            answer.body["gl_repository"].as_str().unwrap_or("?"),
            answer.body["gitaly"]["address"].as_str().unwrap_or("?")
        ),
        Err(refused) => format!("no: {refused}"),
    };
    say(&format!("   {asked:32} {said}  ({})", took(begun)));
    Ok(())
}

fn logins(login: Option<&Login>, people: &sample::People) {
    let Some(login) = login else {
        return say("3. No real login: that needs root, sshd and ssh on this machine.");
    };
    say("3. Real logins through sshd, with AuthorizedKeysCommand set to our helper:");
    attempt(login, "zoe", &people.zoe);
    attempt(login, "a stranger", &people.stranger);
}

fn attempt(login: &Login, who: &str, person: &Person) {
    let begun = clock::boot();
    let said = login.attempt(person);
    say(&format!("   {who:12} {said}  ({})", took(begun)));
}

fn revoke(operator: &Daemon, host: &Daemon, login: Option<&Login>, people: &sample::People) -> Result<(), Failure> {
    say("4. Ben's key is revoked; the command returns when every host refuses it:");
    let begun = clock::boot();
    let answer = operator.tell("/-/admin/revoke-key", &json!({"id": 2, "wait": 30}), PATIENCE)?;
    let count = |name: &str| answer.body[name].as_array().map_or(0, Vec::len);
    say(&format!("   in force on {} host, not yet on {}  ({})", count("in_force"), count("pending"), took(begun)));
    match login {
        Some(login) => attempt(login, "ben", &people.ben),
        None => {
            show(host, "whose key is ben's?", &format!("/api/v4/internal/authorized_keys?{}", encode([("key", people.ben.blob.as_str())])))?
        }
    }
    Ok(())
}

fn without_primary(host: &Daemon, login: Option<&Login>, people: &sample::People) -> Result<(), Failure> {
    let key = |blob: &str| format!("/api/v4/internal/authorized_keys?{}", encode([("key", blob)]));
    show(host, "whose key is zoe's?", &key(&people.zoe.blob))?;
    show(host, "whose key is a stranger's?", &key(&people.stranger.blob))?;
    if let Some(login) = login {
        attempt(login, "zoe", &people.zoe);
        attempt(login, "a stranger", &people.stranger);
    }
    let status = host.ask(Method::GET, "/-/admin/status", PATIENCE)?.body;
    let keys = &status["freshness"]["keys"];
    say(&format!(
        "   status: keys are {} ({} s old); while the primary is away they are answered for {} s more",
        keys["state"].as_str().unwrap_or("?"),
        keys["age_seconds"].as_f64().unwrap_or(0.0).ceil(),
        keys["expires_in_seconds"],
    ));
    Ok(())
}

/// Stays up until Ctrl-C.
fn stay(folder: &Folder) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(Failure::of)?;
    say("It all stays up until Ctrl-C. To look around, in another terminal:");
    say(&format!("   {} status --socket {}", program.display(), folder.sidecar_socket().display()));
    say(&format!("   {} explain --username zoe --project tools/gate --socket {}", program.display(), folder.sidecar_socket().display()));
    say(&format!("   {} admin --socket {} export", program.display(), folder.primary_socket().display()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of)?;
    runtime.block_on(async {
        let mut signals = crate::cli::signals::Signals::listen([])?;
        while signals.next().await != crate::cli::signals::Told::End {}
        Ok(())
    })
}

fn took(begun: crate::model::time::BootTime) -> String {
    let micros = clock::boot().since(begun).as_micros();
    if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1000) }
}
