//! How a command ends: its exit code, and one message on standard error if it failed.

use std::io::Write as _;
use std::process::ExitCode;

/// The end of a command. Exit code 0: done; 1: failed, with a message, or what was looked at has warnings; 2: what was looked at is broken;
/// 3: done, but not confirmed by every host, or not in the time that was given. Of `explain` and `verify` 0 means yes or equal, 1 no or different,
/// and 2 that it could not be judged or compared.
pub type CommandResult = Result<Completion, CommandError>;

/// How much of its work a successful command has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// All of it.
    Complete,
    /// The change is made, but some hosts have not confirmed it.
    Partial,
    /// What the command looked at works, and somebody should look at it too.
    Degraded,
    /// What the command looked at is broken.
    Broken,
    /// What was asked is answered with no, or what was compared differs.
    Refused,
    /// What was asked could not be judged, or what was to be compared could not be.
    Undecided,
}

/// Why a command failed: one message that names what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

impl CommandError {
    /// Creates an error with the text of any other error.
    pub fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// Creates an error that says what failed, and why.
    pub fn with_context(context: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{context}: {error}"))
    }
}

/// Prints why a command failed, and returns the exit code of the process.
pub fn report(result: CommandResult) -> ExitCode {
    match result {
        Ok(Completion::Complete) => ExitCode::SUCCESS,
        Ok(Completion::Partial) => ExitCode::from(3),
        Ok(Completion::Degraded) => ExitCode::from(1),
        Ok(Completion::Broken) => ExitCode::from(2),
        Ok(Completion::Refused) => ExitCode::from(1),
        Ok(Completion::Undecided) => ExitCode::from(2),
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints why a command failed to standard error.
pub fn print_error(error: &CommandError) {
    let _ = writeln!(std::io::stderr(), "sidegate: {error}");
}
