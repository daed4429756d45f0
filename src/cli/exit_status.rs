//! How a command ends: its exit code, and the one message on standard error if it failed.

use std::io::Write as _;
use std::process::ExitCode;

/// 0 for done; 1 for failed, with a message; 3 for done, but not everywhere.
pub type CommandResult = Result<Completion, CommandError>;

/// A command that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// All of it.
    Complete,
    /// Some hosts are still to follow.
    Partial,
}

/// Why a command failed: one message that names what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

impl CommandError {
    /// Of any error.
    pub fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// Of an error, with what was being done.
    pub fn with_context(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Says why it failed, and gives the exit code.
pub fn report(outcome: CommandResult) -> ExitCode {
    match outcome {
        Ok(Completion::Complete) => ExitCode::SUCCESS,
        Ok(Completion::Partial) => ExitCode::from(3),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "sidegate: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one line to standard output; a reader that has gone is no failure.
pub fn print_line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
