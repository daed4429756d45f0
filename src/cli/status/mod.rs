//! `sidegate status` and `sidegate admin status`: how a sidecar, a primary or a mirror does, on one screen. The daemon says what is so and
//! what to do (`docs/status.md` has every field); here that becomes lines, and an exit code for monitoring.

mod daemon_screen;
pub mod fetch;
mod kept;
pub mod mirror;
mod primary;
pub mod screen;
mod sidecar;
pub mod sidecar_findings;
mod sidecar_numbers;
mod sidecar_verdict;
#[cfg(test)]
mod tests;
pub mod view;
mod watch;

use std::io::IsTerminal as _;
use std::path::Path;

use serde_json::Value;

use crate::cli::arguments::{SidecarArgs, WatchArgs};
use crate::cli::exit_status::{CommandResult, print_error};
use crate::cli::output::print_line;
use crate::cli::status::daemon_screen::screen_of;
use crate::cli::status::fetch::{DaemonKind, fetch};
use crate::cli::status::screen::{Colour, Level};

/// Prints the status of the sidecar, or of the mirror or primary whose socket is given.
pub fn run(sidecar: &SidecarArgs, watch: &WatchArgs) -> CommandResult {
    print_status(&sidecar.socket, DaemonKind::Sidecar, if sidecar.json { Format::Json } else { Format::Screen }, watch)
}

/// Prints the status of the primary or the mirror that listens on `socket`.
pub fn run_admin(socket: &Path, json: bool, watch: &WatchArgs) -> CommandResult {
    print_status(socket, DaemonKind::Primary, if json { Format::Json } else { Format::Screen }, watch)
}

/// Returns the first line of the screen of a daemon's status; `None` for JSON that is none.
#[must_use]
pub fn first_line(status: &Value) -> Option<String> {
    screen_of(status).ok().map(|screen| screen.verdict)
}

/// How a status is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Screen,
    Json,
}

fn print_status(socket: &Path, expected: DaemonKind, format: Format, watch: &WatchArgs) -> CommandResult {
    if watch.watch {
        return watch::run(socket, expected, colour_of_terminal());
    }
    let printed = fetch(socket, expected).and_then(|status| {
        let screen = screen_of(&status)?;
        match format {
            Format::Json => print_line(&status.to_string()),
            Format::Screen => screen.lines(colour_of_terminal()).iter().for_each(|line| print_line(line)),
        }
        Ok(screen.level.completion())
    });
    Ok(printed.unwrap_or_else(|error| {
        print_error(&error);
        Level::Away.completion()
    }))
}

/// Colours are for terminals, and not for whoever has set `NO_COLOR`.
fn colour_of_terminal() -> Colour {
    let is_unwanted =
        std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    if std::io::stdout().is_terminal() && !is_unwanted { Colour::On } else { Colour::Off }
}
