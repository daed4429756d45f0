//! `sidegate demo`: the main job on a fresh machine. A primary with a sample directory and a sidecar, both real processes of this very
//! program in a temporary folder; real requests; where sshd is installed and we are root, real logins; then the primary is killed.

pub(crate) mod daemon_process;
mod folder;
mod sample;
pub(crate) mod sshd;

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::cli::admin::format_totals;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::demo::daemon_process::DaemonProcess;
use crate::cli::demo::folder::DemoFolder;
use crate::cli::demo::sshd::{DemoSshd, DemoUser};
use crate::cli::exit_status::{CommandError, CommandResult, Completion, print_line};
use crate::model::clock;
use crate::net::body::OutgoingBody;
use crate::wire::http::params::encode_form;

/// How long a daemon may take to say that it serves.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the demonstration.
pub fn run(once: bool) -> CommandResult {
    let folder = DemoFolder::create()?;
    let people = sample::create_sample_users(&folder)?;
    print_line(&format!("1. A primary and a sidecar start in {}", folder.path().display()));
    let mut primary = DaemonProcess::start(&folder, "primary", START_TIMEOUT)?;
    let operator = AdminClient::new(&folder.primary_socket())?;
    apply_sample(&operator, &people)?;
    let sidecar = DaemonProcess::start(&folder, "serve", START_TIMEOUT)?;
    let host = AdminClient::new(&folder.sidecar_socket())?;
    wait_until_following(&host)?;
    print_line("2. Questions to the sidecar, as sshd and gitlab-shell ask them:");
    run_sample_requests(&host, &people)?;
    let login = DemoSshd::start_if_available(&folder)?;
    run_logins(login.as_ref(), &people);
    revoke_sample_key(&operator, &host, login.as_ref(), &people)?;
    print_line("5. The primary is killed (kill -9):");
    primary.kill();
    run_without_primary(&host, login.as_ref(), &people)?;
    print_line("\nThat was all of it. The primary starts again.");
    let _primary = DaemonProcess::start(&folder, "primary", START_TIMEOUT)?;
    if !once {
        wait_for_ctrl_c(&folder)?;
    }
    drop(sidecar);
    Ok(Completion::Complete)
}

fn apply_sample(operator: &AdminClient, people: &sample::SampleUsers) -> Result<(), CommandError> {
    let answer = operator.send(
        Method::POST,
        "/-/admin/apply?prune=false&accept_loss=false",
        OutgoingBody::from_bytes(people.directory_file()),
        REQUEST_TIMEOUT,
    )?;
    print_line(&format!("   the sample directory is applied: {}", format_totals(&answer.body)));
    Ok(())
}

/// Waits until the sidecar has followed: its status says what it holds.
fn wait_until_following(host: &AdminClient) -> Result<(), CommandError> {
    let begun = clock::boot_time();
    loop {
        let status = host.request(Method::GET, "/-/admin/status", REQUEST_TIMEOUT)?.body;
        if status["freshness"]["keys"]["state"] == "fresh" {
            return Ok(());
        }
        if clock::boot_time().since(begun) > START_TIMEOUT {
            return Err(CommandError(format!("the sidecar did not come to follow the primary: {}", status["follower"])));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run_sample_requests(host: &AdminClient, people: &sample::SampleUsers) -> Result<(), CommandError> {
    let key = |blob: &str| format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", blob)]));
    show_key_lookup(host, "whose key is zoe's?", &key(&people.zoe.blob))?;
    show_key_lookup(host, "whose key is a stranger's?", &key(&people.stranger.blob))?;
    let pull = json!({"key_id": "1", "project": "tools/gate.git", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    show_allowed(host, people, "may zoe pull tools/gate?", &pull)?;
    let push = json!({"key_id": "2", "project": "tools/gate.git", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    show_allowed(host, people, "may ben, a reporter, push there?", &push)
}

fn show_key_lookup(host: &AdminClient, asked: &str, target: &str) -> Result<(), CommandError> {
    let begun = clock::boot_time();
    let said = match host.request(Method::GET, target, REQUEST_TIMEOUT) {
        Ok(answer) => {
            format!("key {} of {}", answer.body["id"], answer.body["key"].as_str().unwrap_or_default().rsplit(' ').nth(1).unwrap_or("?"))
        }
        Err(refused) => refused.to_string(),
    };
    print_line(&format!("   {asked:32} {said}  ({})", format_elapsed(begun)));
    Ok(())
}

fn show_allowed(host: &AdminClient, people: &sample::SampleUsers, asked: &str, body: &Value) -> Result<(), CommandError> {
    let begun = clock::boot_time();
    let mut body = body.clone();
    body["secret_token"] = people.shell_secret.clone().into();
    let said = match host.post_json("/api/v4/internal/allowed", &body, REQUEST_TIMEOUT) {
        Ok(answer) => format!(
            "yes: {} on {}",
            answer.body["gl_repository"].as_str().unwrap_or("?"),
            answer.body["gitaly"]["address"].as_str().unwrap_or("?")
        ),
        Err(refused) => format!("no: {refused}"),
    };
    print_line(&format!("   {asked:32} {said}  ({})", format_elapsed(begun)));
    Ok(())
}

fn run_logins(login: Option<&DemoSshd>, people: &sample::SampleUsers) {
    let Some(login) = login else {
        return print_line("3. No real login: that needs root, sshd and ssh on this machine.");
    };
    print_line("3. Real logins through sshd, with AuthorizedKeysCommand set to our helper:");
    show_login(login, "zoe", &people.zoe);
    show_login(login, "a stranger", &people.stranger);
}

fn show_login(login: &DemoSshd, who: &str, person: &DemoUser) {
    let begun = clock::boot_time();
    let said = login.try_login(person);
    print_line(&format!("   {who:12} {said}  ({})", format_elapsed(begun)));
}

fn revoke_sample_key(
    operator: &AdminClient,
    host: &AdminClient,
    login: Option<&DemoSshd>,
    people: &sample::SampleUsers,
) -> Result<(), CommandError> {
    print_line("4. Ben's key is revoked; the command returns when every host refuses it:");
    let begun = clock::boot_time();
    let answer = operator.post_json("/-/admin/revoke-key", &json!({"id": 2, "wait": 30}), REQUEST_TIMEOUT)?;
    let count = |name: &str| answer.body[name].as_array().map_or(0, Vec::len);
    let (revoked, pending) = (count("in_force"), count("pending"));
    print_line(&format!("   revoked on {revoked} of {} hosts  ({})", revoked + pending, format_elapsed(begun)));
    match login {
        Some(login) => show_login(login, "ben", &people.ben),
        None => show_key_lookup(
            host,
            "whose key is ben's?",
            &format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", people.ben.blob.as_str())])),
        )?,
    }
    Ok(())
}

fn run_without_primary(host: &AdminClient, login: Option<&DemoSshd>, people: &sample::SampleUsers) -> Result<(), CommandError> {
    let key = |blob: &str| format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", blob)]));
    show_key_lookup(host, "whose key is zoe's?", &key(&people.zoe.blob))?;
    show_key_lookup(host, "whose key is a stranger's?", &key(&people.stranger.blob))?;
    if let Some(login) = login {
        show_login(login, "zoe", &people.zoe);
        show_login(login, "a stranger", &people.stranger);
    }
    let status = host.request(Method::GET, "/-/admin/status", REQUEST_TIMEOUT)?.body;
    let keys = &status["freshness"]["keys"];
    print_line(&format!(
        "   status: keys are {} ({} s old); while the primary is away they are answered for {} s more",
        keys["state"].as_str().unwrap_or("?"),
        keys["age_seconds"].as_f64().unwrap_or(0.0).ceil(),
        keys["expires_in_seconds"],
    ));
    Ok(())
}

/// Stays up until Ctrl-C.
fn wait_for_ctrl_c(folder: &DemoFolder) -> Result<(), CommandError> {
    let program = std::env::current_exe().map_err(CommandError::new)?;
    print_line("It all stays up until Ctrl-C. To look around, in another terminal:");
    print_line(&format!("   {} status --socket {}", program.display(), folder.sidecar_socket().display()));
    print_line(&format!(
        "   {} explain --username zoe --project tools/gate --socket {}",
        program.display(),
        folder.sidecar_socket().display()
    ));
    print_line(&format!("   {} admin --socket {} export", program.display(), folder.primary_socket().display()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::new)?;
    runtime.block_on(async {
        let mut signals = crate::cli::lifecycle::LifecycleEvents::subscribe([])?;
        while signals.next().await != crate::cli::lifecycle::LifecycleEvent::Terminate {}
        Ok(())
    })
}

fn format_elapsed(begun: crate::model::time::BootTime) -> String {
    let micros = clock::boot_time().since(begun).as_micros();
    if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1000) }
}
