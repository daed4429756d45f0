//! Who sshd starts: its `AuthorizedKeysCommand`, once for each key that is offered and once more for the one that is taken.
//!
//! No runtime, no configuration, no secret: it asks the daemon's socket one question, checks that the answer is whole and speaks of
//! the key that was offered, prints one line in one write and ends, after [`WITHIN`] at the latest. A key that is not known and a
//! key that could not be looked up get different comments; sshd refuses both, a person can tell them apart.
//!
//! Almost all of its cost is its start, so it is built small (profile `helper`) and makes few system calls.

mod arguments;
mod exchange;
mod lookup;
pub(crate) mod lookup_error;
pub(crate) mod response;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::helper::arguments::{Invocation, PROGRAM_NAME};
use crate::helper::lookup::{KeyVerdict, look_up_key};
use crate::wire::authorized_keys;

/// How long all of it may take.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is said, and where. sshd reads standard output, and takes a failed command for a refusal.
#[derive(Debug, PartialEq, Eq)]
enum HelperOutput {
    Stdout(String),
    Silent,
    Stderr(String),
}

/// The program, from its arguments to its exit code: 0, or 1 if it was called wrongly.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        HelperOutput::Stdout(line) => write_output(&mut io::stdout().lock(), &line, ExitCode::SUCCESS),
        HelperOutput::Silent => ExitCode::SUCCESS,
        HelperOutput::Stderr(text) => write_output(&mut io::stderr(), &text, ExitCode::FAILURE),
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> HelperOutput {
    let asked = match arguments::parse_arguments(arguments) {
        Ok(Invocation::Lookup(asked)) => asked,
        Ok(Invocation::OtherUser) => return HelperOutput::Silent,
        Ok(Invocation::Version) => return HelperOutput::Stdout(format!("{PROGRAM_NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Err(usage) => return HelperOutput::Stderr(format!("{usage}\n")),
    };
    HelperOutput::Stdout(match look_up_key(&asked.socket, &asked.key, LOOKUP_TIMEOUT) {
        Ok(KeyVerdict::Hit(hit)) => hit.authorized_keys_line(&asked.shell),
        Ok(KeyVerdict::Miss) => authorized_keys::not_found_comment(&asked.key),
        Err(why) => authorized_keys::lookup_failed_comment(why.category(), &why.to_string()),
    })
}

/// Writes all in one piece. Whoever stopped reading (sshd, once it has its line or has dropped its client) is no failure.
fn write_output(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
