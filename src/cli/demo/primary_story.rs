//! The first act of the demonstration: a primary and a sidecar that follows it. A key is revoked, and then the primary is killed.

use std::time::Duration;

use serde_json::json;

use crate::cli::admin::apply::format_totals;
use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::demo::daemon_process::DaemonProcess;
use crate::cli::demo::folder::{DemoFolder, Upstream};
use crate::cli::demo::sample::{self, SampleUsers};
use crate::cli::demo::sshd::DemoSshd;
use crate::cli::demo::steps::{START_TIMEOUT, format_elapsed, run_logins, run_until_ended, show_allowed, show_key_lookup, show_login};
use crate::cli::exit_status::CommandError;
use crate::cli::output::print_line;
use crate::model::clock;
use crate::net::body::OutgoingBody;

/// Tells it.
pub fn tell(folder: &DemoFolder, once: bool) -> Result<(), CommandError> {
    let users = sample::create_sample_users(folder)?;
    print_line(&format!("1. A primary and a sidecar start in {}", folder.path().display()));
    let primary = DaemonProcess::start(folder, "primary", START_TIMEOUT)?;
    let primary_client = AdminClient::new(&folder.primary_socket())?;
    apply_sample(&primary_client, &users)?;
    DaemonProcess::start(folder, "serve", START_TIMEOUT)?;
    let sidecar_client = AdminClient::new(&folder.sidecar_socket())?;
    wait_until_following(&sidecar_client)?;
    print_line("2. Questions to the sidecar, as sshd and gitlab-shell ask them:");
    run_sample_requests(&sidecar_client, &users)?;
    let sshd = DemoSshd::start_if_available(folder)?;
    run_logins(sshd.as_ref(), &users);
    revoke_sample_key(&primary_client, &sidecar_client, sshd.as_ref(), &users)?;
    print_line("5. The primary is killed (kill -9):");
    primary.kill();
    run_without_primary(&sidecar_client, sshd.as_ref(), &users)?;
    print_line("\nEnd of the demonstration. The primary starts again.");
    DaemonProcess::start(folder, "primary", START_TIMEOUT)?;
    if !once {
        run_until_ended(folder, Upstream::Primary)?;
    }
    Ok(())
}

fn apply_sample(primary: &AdminClient, users: &SampleUsers) -> Result<(), CommandError> {
    let summary =
        primary.post("/-/admin/apply?prune=false&accept_loss=false", OutgoingBody::from_bytes(users.directory_file()), REQUEST_TIMEOUT)?;
    print_line(&format!("   the sample directory is applied: {}", format_totals(&summary)));
    Ok(())
}

/// Waits until the status of the sidecar says that its copy of the directory is fresh.
fn wait_until_following(sidecar: &AdminClient) -> Result<(), CommandError> {
    let start = clock::boot_time();
    loop {
        let status = sidecar.get("/-/admin/status", REQUEST_TIMEOUT)?;
        if status["freshness"]["keys"]["state"] == "fresh" {
            return Ok(());
        }
        if clock::boot_time().since(start) > START_TIMEOUT {
            return Err(CommandError(format!("the sidecar does not follow the primary: {}", status["follower"])));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run_sample_requests(sidecar: &AdminClient, users: &SampleUsers) -> Result<(), CommandError> {
    show_key_lookup(sidecar, "whose key is zoe's?", &users.zoe.blob)?;
    show_key_lookup(sidecar, "whose key is a stranger's?", &users.stranger.blob)?;
    let pull = json!({"key_id": "1", "project": "tools/gate.git", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    show_allowed(sidecar, users, "may zoe pull tools/gate?", &pull)?;
    let push = json!({"key_id": "2", "project": "tools/gate.git", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    show_allowed(sidecar, users, "may ben, a reporter, push there?", &push)
}

fn revoke_sample_key(
    primary: &AdminClient,
    sidecar: &AdminClient,
    sshd: Option<&DemoSshd>,
    users: &SampleUsers,
) -> Result<(), CommandError> {
    print_line("4. Ben's key is revoked; the command returns when every host refuses it:");
    let start = clock::boot_time();
    let response = primary.post_json("/-/admin/revoke-key", &json!({"id": 2, "wait": 30}), REQUEST_TIMEOUT)?;
    let count = |name: &str| response[name].as_array().map_or(0, Vec::len);
    let (revoked, pending) = (count("in_force"), count("pending"));
    print_line(&format!("   revoked on {revoked} of {} hosts  ({})", revoked + pending, format_elapsed(start)));
    match sshd {
        Some(sshd) => show_login(sshd, "ben", &users.ben),
        None => show_key_lookup(sidecar, "whose key is ben's?", &users.ben.blob)?,
    }
    Ok(())
}

fn run_without_primary(sidecar: &AdminClient, sshd: Option<&DemoSshd>, users: &SampleUsers) -> Result<(), CommandError> {
    show_key_lookup(sidecar, "whose key is zoe's?", &users.zoe.blob)?;
    show_key_lookup(sidecar, "whose key is a stranger's?", &users.stranger.blob)?;
    if let Some(sshd) = sshd {
        show_login(sshd, "zoe", &users.zoe);
        show_login(sshd, "a stranger", &users.stranger);
    }
    let status = sidecar.get("/-/admin/status", REQUEST_TIMEOUT)?;
    let keys = &status["freshness"]["keys"];
    print_line(&format!(
        "   status: keys are {} ({} s old); while the primary is away they are answered for {} s more",
        keys["state"].as_str().unwrap_or("?"),
        keys["age_seconds"].as_f64().unwrap_or(0.0).ceil(),
        keys["expires_in_seconds"],
    ));
    Ok(())
}
