//! The command line: arguments, configuration, and the start of the daemons. Each command is one file.

mod admin;
mod admin_client;
mod allocator;
mod arguments;
mod as_user;
mod certificates;
mod check;
mod config;
mod demo;
mod exit_status;
mod explain;
mod hardening;
mod ids;
mod invalidate;
mod lifecycle;
mod log_level;
mod logging;
mod man_page;
mod metrics_server;
mod mirror;
mod mirror_options;
mod mirror_progress;
mod output;
mod primary;
mod primary_options;
mod private_file;
mod progress;
mod reload;
mod resync;
mod revocation_relay;
mod roff;
mod secret_file;
mod secrets;
mod serve;
mod service_status;
mod setup;
mod shutdown;
mod sidecar_context;
mod sockets;
mod status;
#[cfg(test)]
mod tests;
mod units;
mod verify;
mod warm;
mod watchdog;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::arguments::{Arguments, Command};
use crate::cli::exit_status::CommandResult;
use crate::helper::arguments::PROGRAM_NAME as HELPER_PROGRAM_NAME;

/// Runs `sidegate` with the arguments of this process. Under the name of the helper it is the helper: the demonstration copies this
/// program, because no other is at hand.
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
        Command::Mirror { config } => mirror::run(&config),
        Command::Demo { once, gitlab } => demo::run(once, gitlab),
        Command::Admin { socket, action } => admin::run(&socket, action),
        Command::Status { sidecar, watch } => status::run(&sidecar, &watch),
        Command::Explain(question) => explain::run(&question),
        Command::Verify(sidecar) => verify::run(&sidecar),
        Command::Invalidate(arguments) => invalidate::run(&arguments),
        Command::Warm(arguments) => warm::run(&arguments),
        Command::Resync(arguments) => resync::run(&arguments),
        Command::LogLevel(arguments) => log_level::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Setup(arguments) => setup::run(&arguments),
        Command::AsUser { user, command } => as_user::run(&user, &command),
        Command::Man { out: Some(folder), .. } => man_page::write_all(&folder),
        Command::Man { page, out: None } => man_page::print(&page),
        Command::Completions { shell } => man_page::print_completions(shell),
    }
}
