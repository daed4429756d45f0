//! Who sshd starts: its `AuthorizedKeysCommand`, once for each key that is offered and once more for the one that is taken.
//!
//! No runtime, no configuration, no secret: it asks the daemon's socket one question, checks that the answer is whole and speaks of
//! the key that was offered, prints one line in one write and ends, after [`WITHIN`] at the latest. A key that is not known and a
//! key that could not be looked up get different comments; sshd refuses both, a person can tell them apart.
//!
//! Almost all of its cost is its start, so it is built small (profile `helper`) and makes few system calls.

mod answer;
mod arguments;
mod exchange;
mod lookup;
mod unanswered;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::client::arguments::{Invocation, NAME};
use crate::client::lookup::{Verdict, look_up};
use crate::wire::authorized_keys;

/// How long all of it may take.
pub const WITHIN: Duration = Duration::from_secs(5);

/// What is said, and where. sshd reads standard output, and takes a failed command for a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Line(String),
    Nothing,
    Complaint(String),
}

/// The program, from its arguments to its exit code: 0, or 1 if it was called wrongly.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Said::Line(line) => utter(&mut io::stdout().lock(), &line, ExitCode::SUCCESS),
        Said::Nothing => ExitCode::SUCCESS,
        Said::Complaint(text) => utter(&mut io::stderr(), &text, ExitCode::FAILURE),
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Said {
    let asked = match arguments::read(arguments) {
        Ok(Invocation::Lookup(asked)) => asked,
        Ok(Invocation::OtherUser) => return Said::Nothing,
        Ok(Invocation::Version) => return Said::Line(format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Err(usage) => return Said::Complaint(format!("{usage}\n")),
    };
    Said::Line(match look_up(&asked.socket, &asked.key, WITHIN) {
        Ok(Verdict::Hit(hit)) => hit.line(&asked.shell),
        Ok(Verdict::Miss) => authorized_keys::miss(&asked.key),
        Err(why) => authorized_keys::unanswered(why.kind(), &why.to_string()),
    })
}

/// Writes all in one piece. Whoever stopped reading (sshd, once it has its line or has dropped its client) is no failure.
fn utter(out: &mut impl Write, text: &str, code: ExitCode) -> ExitCode {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => code,
    }
}
