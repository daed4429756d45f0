//! The command line: arguments, configuration, composition. One file a command; what a command does is said by its file's first lines.

mod admin;
pub(crate) mod admin_client;
pub(crate) mod allocator;
mod arguments;
mod check;
pub mod config;
mod demo;
pub(crate) mod exit_status;
mod explain;
mod hardening;
pub(crate) mod ids;
pub(crate) mod lifecycle;
mod logging;
pub(crate) mod man_page;
mod primary;
pub mod secret_file;
mod secrets;
mod serve;
mod status;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::arguments::{Arguments, Command};
use crate::cli::exit_status::CommandResult;

/// The name under which this program is the one that sshd starts: the demonstration has no other at hand.
const HELPER_PROGRAM_NAME: &str = "sidegate-authorized-keys";

/// Runs `sidegate` with the arguments of this process.
#[must_use]
pub fn run() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == HELPER_PROGRAM_NAME)) {
        return crate::helper::main();
    }
    let arguments = Arguments::parse();
    exit_status::report(run_command(arguments.command))
}

fn run_command(command: Command) -> CommandResult {
    match command {
        Command::Serve { config } => serve::run(&config),
        Command::Primary { config } => primary::run(&config),
        Command::Demo { once } => demo::run(once),
        Command::Admin { socket, action } => admin::run(&socket, action),
        Command::Status(sidecar) => status::run(&sidecar),
        Command::Explain(question) => explain::run(&question),
        Command::Verify(sidecar) => status::verify(&sidecar),
        Command::Invalidate { what, sidecar } => status::invalidate(&what, &sidecar),
        Command::Resync(sidecar) => status::resync(&sidecar),
        Command::Check { config, primary } => check::run(&config, primary.as_deref()),
        Command::Man => man_page::print_man_page(),
        Command::Completions { shell } => man_page::print_completions(shell),
    }
}
