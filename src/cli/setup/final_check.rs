//! The end of a set-up: what `sidegate check` finds, once the daemons have had a moment to find each other.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::cli::arguments::SshdArgs;
use crate::cli::check::depth::Depth;
use crate::cli::check::findings::{Findings, Level};
use crate::cli::check::report::{self, Form};
use crate::cli::check::{primary, sidecar};
use crate::cli::exit_status::{CommandResult, Completion};
use crate::cli::output::print_line;
use crate::cli::setup::answers::{Answers, Source};
use crate::cli::setup::contents::SIDECAR_CONFIG;
use crate::cli::setup::host::Host;
use crate::cli::setup::plan::PRIMARY_CONFIG;
use crate::cli::setup::sshd::CONFIG;

/// How often it is looked again whether a host that was just started is well.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(500);

/// Checks the host, and prints what is found. Warnings do not count: the set-up is done.
pub fn run(host: &Host, answers: &Answers) -> CommandResult {
    if !host.runs_systemd() {
        print_line(&format!("{}, so it was not checked; run `sidegate check` once the daemons run", host.why_no_systemd()));
        return Ok(Completion::Complete);
    }
    let mut worst = Completion::Complete;
    if matches!(answers.source, Source::Here { .. }) {
        print_line("sidegate check --primary /etc/sidegate/primary.toml:");
        worst = report::print(&until_well(|| primary::check(Path::new(PRIMARY_CONFIG), Depth::Full)), Form::Text)?;
    }
    let sshd = SshdArgs {
        sshd_config: CONFIG.into(),
        ssh_user: answers.login.as_ref().map_or_else(|| "git".to_owned(), |login| login.user.clone()),
        without_sshd: answers.login.is_none(),
    };
    print_line("sidegate check:");
    let sidecar = report::print(&until_well(|| sidecar::check(Path::new(SIDECAR_CONFIG), Depth::Full, &sshd)), Form::Text)?;
    let is_broken = [worst, sidecar].contains(&Completion::Broken);
    Ok(if is_broken { Completion::Broken } else { Completion::Complete })
}

/// Checks until nothing is wrong, or long enough.
fn until_well(check: impl Fn() -> Findings) -> Findings {
    let mut found = check();
    for _ in 1..TRIES {
        if found.count(Level::Error) == 0 {
            break;
        }
        thread::sleep(BETWEEN);
        found = check();
    }
    found
}
