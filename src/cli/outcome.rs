//! How a command ends: its exit code, and the one message on standard error if it failed.

use std::io::Write as _;
use std::process::ExitCode;

/// 0 for done; 1 for failed, with a message; 3 for done, but not everywhere.
pub type Outcome = Result<Done, Failure>;

/// A command that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All of it.
    Wholly,
    /// Some hosts are still to follow.
    InPart,
}

/// Why a command failed: one message that names what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// Of any error.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// Of an error, with what was being done.
    pub fn while_doing(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// Says why it failed, and gives the exit code.
pub fn tell(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Done::Wholly) => ExitCode::SUCCESS,
        Ok(Done::InPart) => ExitCode::from(3),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "sidegate: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Prints one line to standard output; a reader that has gone is no failure.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
