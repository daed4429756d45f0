//! The steps that both acts of the demonstration have: questions, logins, and what to look at until Ctrl-C.

use std::time::Duration;

use serde_json::Value;

use crate::cli::admin_client::{AdminClient, REQUEST_TIMEOUT};
use crate::cli::demo::folder::{DemoFolder, Upstream};
use crate::cli::demo::sample::SampleUsers;
use crate::cli::demo::sshd::{DemoSshd, DemoUser};
use crate::cli::exit_status::CommandError;
use crate::cli::output::print_line;
use crate::model::clock;
use crate::model::time::BootTime;
use crate::wire::http::params::encode_form;

/// How long a daemon may take to start.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Asks whose key it is, and prints the answer and how long it took.
pub fn show_key_lookup(sidecar: &AdminClient, question: &str, blob: &str) -> Result<(), CommandError> {
    let target = format!("/api/v4/internal/authorized_keys?{}", encode_form([("key", blob)]));
    let start = clock::boot_time();
    let result = match sidecar.get(&target, REQUEST_TIMEOUT) {
        Ok(answer) => {
            format!("key {} of {}", answer["id"], answer["key"].as_str().unwrap_or_default().rsplit(' ').nth(1).unwrap_or("?"))
        }
        Err(error) => error.to_string(),
    };
    print_line(&format!("   {question:32} {result}  ({})", format_elapsed(start)));
    Ok(())
}

/// Asks for access, and prints the answer and how long it took.
pub fn show_allowed(sidecar: &AdminClient, users: &SampleUsers, question: &str, body: &Value) -> Result<(), CommandError> {
    let start = clock::boot_time();
    let mut body = body.clone();
    body["secret_token"] = users.shell_secret.clone().into();
    let result = match sidecar.post_json("/api/v4/internal/allowed", &body, REQUEST_TIMEOUT) {
        Ok(answer) => {
            format!("yes: {} on {}", answer["gl_repository"].as_str().unwrap_or("?"), answer["gitaly"]["address"].as_str().unwrap_or("?"))
        }
        Err(error) => format!("no: {error}"),
    };
    print_line(&format!("   {question:32} {result}  ({})", format_elapsed(start)));
    Ok(())
}

/// Tries two logins, if there is an sshd.
pub fn run_logins(sshd: Option<&DemoSshd>, users: &SampleUsers) {
    let Some(sshd) = sshd else {
        return print_line("3. No real login: that needs root, sshd and ssh on this machine.");
    };
    print_line("3. Real logins through sshd, with AuthorizedKeysCommand set to our helper:");
    show_login(sshd, "zoe", &users.zoe);
    show_login(sshd, "a stranger", &users.stranger);
}

/// Tries one login.
pub fn show_login(sshd: &DemoSshd, name: &str, user: &DemoUser) {
    let start = clock::boot_time();
    let result = sshd.try_login(user);
    print_line(&format!("   {name:12} {result}  ({})", format_elapsed(start)));
}

/// Says what to look at, and lets everything run until the demonstration is ended.
pub fn run_until_ended(folder: &DemoFolder, upstream: Upstream) -> Result<(), CommandError> {
    let program = std::env::current_exe().map_err(CommandError::new)?;
    print_line("All of it runs until Ctrl-C. To look around, in another terminal:");
    print_line(&format!("   {} status --socket {}", program.display(), folder.sidecar_socket().display()));
    print_line(&format!(
        "   {} explain --username zoe --project tools/gate --socket {}",
        program.display(),
        folder.sidecar_socket().display()
    ));
    if upstream == Upstream::Primary {
        print_line(&format!("   {} admin --socket {} export", program.display(), folder.primary_socket().display()));
    }
    folder.processes().wait_until_ended();
    Ok(())
}

/// Returns how long ago a time was, for people.
pub fn format_elapsed(start: BootTime) -> String {
    let micros = clock::boot_time().since(start).as_micros();
    if micros < 10_000 { format!("{micros} µs") } else { format!("{} ms", micros / 1000) }
}
