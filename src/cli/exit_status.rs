//! How a command ends: its exit code, and one message on standard error if it failed. The table of the codes is also that of the manual page.

use std::io::Write as _;
use std::process::ExitCode;

/// The end of a command.
pub type CommandResult = Result<Completion, CommandError>;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// The code.
    pub code: u8,
    /// What it says.
    pub says: &'static str,
}

/// Defines [`Completion`], with the exit code of each and what that says.
macro_rules! completions {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $says:literal;)*) => {
        /// How much of its work a successful command has done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Completion {
            $($(#[$doc])* $name,)*
        }

        impl Completion {
            /// Returns its exit code.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }

        /// What each [`Completion`] says, in their order.
        const COMPLETIONS: &[ExitStatus] = &[$(ExitStatus { code: $code, says: $says },)*];
    };
}

completions! {
    /// All of it.
    Complete = 0, "It is done; `status`, `admin status` and `check`: all is well; `explain`: yes; `verify`: equal.";
    /// What the command looked at works, and somebody should look at it too.
    Degraded = 1, "`status`, `admin status`: stale, not following, a host is away, or an alarm; `check`: warnings.";
    /// What was asked is answered with no, or what was compared differs.
    Refused = 1, "`explain`: no; `verify`: different; `setup`: not wanted, so nothing was done.";
    /// What the command looked at is broken.
    Broken = 2, "`status`, `admin status`: expired, nothing to serve yet, or the daemon cannot be reached; `check`, and `setup`, which ends with it: broken.";
    /// What was asked could not be judged, or what was to be compared could not be.
    Undecided = 2, "`explain`: not judged; `verify`: not compared.";
    /// The change is made, but some hosts have not confirmed it.
    Partial = 3, "`--wait`: the change is made, and not confirmed by every host, or the snapshot is not loaded in that time; `warm`: some answers were not kept.";
}

/// The command failed.
const FAILED: ExitStatus =
    ExitStatus { code: 1, says: "It failed, and standard error says why; `admin apply --dry-run`: the file would be refused." };
/// The arguments are wrong: clap's own code.
const USAGE: ExitStatus = ExitStatus { code: 2, says: "The arguments are wrong; nothing was done." };
/// A store has failed. (`EX_TEMPFAIL` of sysexits.h)
pub const STORE_FAILED: ExitStatus = ExitStatus {
    code: 75,
    says: "`primary`, `mirror`: a write to the store failed, so the daemon is to be started again, as systemd does.",
};

/// Returns every exit code of `sidegate` with what it says, the smallest first. `as-user` ends as the program that it runs.
#[must_use]
pub fn exit_codes() -> Vec<ExitStatus> {
    let mut all = [&[FAILED, USAGE, STORE_FAILED], COMPLETIONS].concat();
    all.sort_by_key(|status| status.code);
    all
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
        Ok(completion) => ExitCode::from(completion.code()),
        Err(error) => {
            print_error(&error);
            ExitCode::from(FAILED.code)
        }
    }
}

/// Prints why a command failed to standard error.
pub fn print_error(error: &CommandError) {
    let _ = writeln!(std::io::stderr(), "sidegate: {error}");
}
