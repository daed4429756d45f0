//! The helper that sshd starts as its `AuthorizedKeysCommand`: once for each key that a client offers, and once more for the accepted
//! one.
//!
//! It has no runtime, no configuration and no secret. It sends the daemon one request, checks that the response is complete and is about
//! the offered key, prints one line in one write and ends, after [`LOOKUP_TIMEOUT`] at the latest. An unknown key and a key that could
//! not be looked up get different comments: sshd refuses both, a person can tell them apart.
//!
//! Most of its run time is the start of the process, so it is built small (profile `helper`) and makes few system calls.

pub(crate) mod arguments;
mod exchange;
pub(crate) mod lookup;
mod lookup_error;
mod response;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::helper::arguments::{Invocation, PROGRAM_NAME};
use crate::helper::lookup::{KeyVerdict, look_up_key};
use crate::wire::authorized_keys;

/// How long a lookup may take at most.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The output of the program. sshd reads standard output, and refuses the key if the command fails.
#[derive(Debug, PartialEq, Eq)]
enum HelperOutput {
    Stdout(String),
    Silent,
    Stderr(String),
}

/// Runs the program with the arguments of this process. The exit code is 0, or 1 if the arguments are wrong.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        HelperOutput::Stdout(line) => write_output(&mut io::stdout().lock(), &line, ExitCode::SUCCESS),
        HelperOutput::Silent => ExitCode::SUCCESS,
        HelperOutput::Stderr(text) => write_output(&mut io::stderr(), &text, ExitCode::FAILURE),
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> HelperOutput {
    let lookup = match arguments::parse_arguments(arguments) {
        Ok(Invocation::Lookup(lookup)) => lookup,
        Ok(Invocation::OtherUser) => return HelperOutput::Silent,
        Ok(Invocation::Version) => return HelperOutput::Stdout(format!("{PROGRAM_NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Err(usage) => return HelperOutput::Stderr(format!("{usage}\n")),
    };
    HelperOutput::Stdout(match look_up_key(&lookup.socket, &lookup.key, LOOKUP_TIMEOUT) {
        Ok(KeyVerdict::Hit(hit)) => hit.authorized_keys_line(&lookup.shell),
        Ok(KeyVerdict::Miss) => authorized_keys::not_found_comment(&lookup.key),
        Err(error) => authorized_keys::lookup_failed_comment(error.category(), &error.to_string()),
    })
}

/// Writes the text in one write. A reader that has closed its end is no failure: sshd does so once it has its line, or when its client
/// is gone.
fn write_output(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
