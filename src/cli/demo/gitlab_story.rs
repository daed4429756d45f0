//! The second act of the demonstration: the same story with a GitLab in place of the primary. What GitLab has answered is kept, so that logins
//! outlive it.

use serde_json::json;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::demo::daemon_process::DaemonProcess;
use crate::cli::demo::folder::{DemoFolder, Upstream};
use crate::cli::demo::gitlab::DemoGitlab;
use crate::cli::demo::sample::{self, SampleUsers};
use crate::cli::demo::sshd::DemoSshd;
use crate::cli::demo::steps::{START_TIMEOUT, format_elapsed, run_logins, run_until_ended, show_allowed, show_key_lookup, show_login};
use crate::cli::exit_status::CommandError;
use crate::cli::output::print_line;
use crate::model::clock;
use crate::wire::http::params::encode_form;

/// Tells it.
pub fn tell(folder: &DemoFolder, once: bool) -> Result<(), CommandError> {
    let users = sample::create_sample_users(folder)?;
    print_line(&format!(
        "1. A stand-in for a GitLab, which takes 50 ms over each answer, and a sidecar start in {}",
        folder.path().display()
    ));
    let gitlab = DemoGitlab::start(&folder.primary_socket(), &users)?;
    DaemonProcess::start(folder, "serve", START_TIMEOUT)?;
    let client = AdminClient::new(&folder.sidecar_socket())?;
    print_line("2. Questions to the sidecar, as sshd and gitlab-shell ask them; GitLab is asked once:");
    ask_twice(&client, &users)?;
    let sshd = DemoSshd::start_if_available(folder)?;
    run_logins(sshd.as_ref(), &users);
    remove_key(&gitlab, &client, &users)?;
    print_line("5. GitLab hangs: it accepts questions and never answers:");
    gitlab.set_hanging(true);
    run_without_gitlab(&client, sshd.as_ref(), &users)?;
    print_line("\nEnd of the demonstration. GitLab answers again.");
    gitlab.set_hanging(false);
    if !once {
        run_until_ended(folder, Upstream::Gitlab)?;
    }
    Ok(())
}

fn ask_twice(client: &AdminClient, users: &SampleUsers) -> Result<(), CommandError> {
    let pull = json!({"key_id": "1", "project": "tools/gate.git", "action": "git-upload-pack", "protocol": "ssh", "changes": "_any"});
    let push = json!({"key_id": "2", "project": "tools/gate.git", "action": "git-receive-pack", "protocol": "ssh", "changes": "_any"});
    for again in ["", " once more"] {
        show_key_lookup(client, &format!("whose key is zoe's?{again}"), &users.zoe.blob)?;
        show_allowed(client, users, &format!("may zoe pull tools/gate?{again}"), &pull)?;
    }
    show_key_lookup(client, "whose key is a stranger's?", &users.stranger.blob)?;
    show_key_lookup(client, "whose key is ben's?", &users.ben.blob)?;
    show_allowed(client, users, "may ben, a reporter, push there?", &push)
}

/// Removes Ben's key at GitLab, and waits until the sidecar refuses it.
fn remove_key(gitlab: &DemoGitlab, client: &AdminClient, users: &SampleUsers) -> Result<(), CommandError> {
    print_line("4. Ben's key is removed at GitLab; what was kept of it is given for 1 s (freshness.keys.ttl of the demonstration):");
    gitlab.remove_key("ben");
    let (start, target) =
        (clock::boot_time(), format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", users.ben.blob.as_str())])));
    while client.get(&target, REQUEST_TIMEOUT).is_ok() {
        if clock::boot_time().since(start) > START_TIMEOUT {
            return Err(CommandError("the removed key is still given".to_owned()));
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    print_line(&format!("   refused  ({} after it was removed)", format_elapsed(start)));
    Ok(())
}

fn run_without_gitlab(client: &AdminClient, sshd: Option<&DemoSshd>, users: &SampleUsers) -> Result<(), CommandError> {
    show_key_lookup(client, "whose key is zoe's?", &users.zoe.blob)?;
    show_key_lookup(client, "whose key is a stranger's?", &users.stranger.blob)?;
    if let Some(sshd) = sshd {
        show_login(sshd, "zoe", &users.zoe);
        show_login(sshd, "a stranger", &users.stranger);
    }
    let status = client.get("/-/admin/status", REQUEST_TIMEOUT)?;
    print_line(&format!(
        "   status: {} answers are kept; the connection to GitLab is {}",
        status["kept"]["answers"],
        if status["primary"]["breaker"] == "closed" { "tried" } else { "given up for now, and probed" },
    ));
    Ok(())
}
