//! `sidegate check`: is a configuration right, and is this host ready for it? Changes nothing.
//!
//! One file per daemon has the recipe, one file per subject its judgement. Every finding is printed, with what to do; none hides another.
//! Exit code 0: all is well; 1: warnings; 2: broken. With `--start` only what the daemon itself refuses ends with 2, and all else with 0.

pub mod access;
mod addresses;
pub mod as_daemon;
mod bounds;
mod clock;
mod configuration;
mod credentials;
pub mod depth;
pub mod findings;
mod following;
pub mod key_command;
mod lookup;
mod mirror;
pub mod primary;
pub mod program;
mod readiness;
pub mod report;
mod secrets;
pub mod sidecar;
mod socket;
mod sshd;
pub mod sshd_files;
pub mod sshd_settings;
mod store;
mod tls;
mod unit;
mod upstream;

use crate::cli::arguments::CheckArgs;
use crate::cli::check::depth::Depth;
use crate::cli::check::report::Form;
use crate::cli::exit_status::CommandResult;

/// Checks the configuration that the arguments name and this host, and prints what was found.
pub fn run(arguments: &CheckArgs) -> CommandResult {
    let (depth, text) = match (arguments.start, arguments.offline) {
        (true, _) => (Depth::Start, Form::Start),
        (false, true) => (Depth::Offline, Form::Text),
        (false, false) => (Depth::Full, Form::Text),
    };
    let found = match (&arguments.primary, &arguments.mirror) {
        (Some(file), _) => primary::check(file, depth),
        (None, Some(file)) => mirror::check(file, depth),
        (None, None) => sidecar::check(&arguments.config, depth, &arguments.sshd),
    };
    report::print(&found, if arguments.json { Form::Json } else { text })
}
