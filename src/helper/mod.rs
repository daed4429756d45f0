//! The helper that sshd starts as its `AuthorizedKeysCommand`: once for each key that a client offers, and once more for the accepted
//! one.
//!
//! It has no runtime, no configuration and no secret. It sends the daemon one request, checks that the response is complete and is about
//! the offered key, prints one line in one write and ends, after [`LOOKUP_TIMEOUT`] at the latest. An unknown key and a key that could
//! not be looked up get different comments, and the latter the exit code 1 and a line in the system's log: sshd refuses both, a person can
//! tell them apart. For an unknown key it goes on with the command after `--chain`, if there is one ([`chain`]).
//!
//! Most of its run time is the start of the process, so it is built small (profile `helper`) and makes few system calls.

pub(crate) mod arguments;
pub(crate) mod chain;
mod exchange;
pub(crate) mod lookup;
mod lookup_error;
mod response;
mod syslog;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::helper::arguments::{ChainCommand, Invocation, LookupArguments, PROGRAM_NAME};
use crate::helper::lookup::{KeyVerdict, base64_part, look_up_key};
use crate::helper::syslog::LOG_SOCKET;
use crate::model::clock;
use crate::model::key::{Fingerprint, decode_blob};
use crate::wire::authorized_keys;

/// How long a lookup may take at most.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// What the comment about a failed command begins with, in place of the category of a failed lookup.
pub(crate) const CHAIN_CATEGORY: &str = "chained command";

/// The output of the program. sshd reads standard output, and refuses the key if the command fails.
#[derive(Debug, PartialEq, Eq)]
enum HelperOutput {
    /// A verdict, or the version.
    Stdout(String),
    /// What another command says of a key that sidegate does not know, after the comment that says so.
    Chained(Vec<u8>),
    /// Not our user.
    Silent,
    /// There is no verdict.
    Failed {
        stdout: String,
        stderr: String,
        /// For the system's log.
        log_line: String,
    },
}

/// Runs the program with the arguments of this process. The exit code is 0 with a verdict, and 1 without.
#[must_use]
pub fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        HelperOutput::Stdout(line) => write_output(&mut io::stdout().lock(), line.as_bytes(), ExitCode::SUCCESS),
        HelperOutput::Chained(output) => write_output(&mut io::stdout().lock(), &output, ExitCode::SUCCESS),
        HelperOutput::Silent => ExitCode::SUCCESS,
        HelperOutput::Failed { stdout, stderr, log_line } => {
            log(&log_line);
            write_output(&mut io::stderr(), stderr.as_bytes(), ExitCode::FAILURE);
            write_output(&mut io::stdout().lock(), stdout.as_bytes(), ExitCode::FAILURE)
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> HelperOutput {
    match arguments::parse_arguments(arguments) {
        Ok(Invocation::Lookup(lookup)) => answer(&lookup),
        Ok(Invocation::OtherUser(None)) => HelperOutput::Silent,
        Ok(Invocation::OtherUser(Some(chain))) => chained(&chain, String::new(), LOOKUP_TIMEOUT),
        Ok(Invocation::Version) => HelperOutput::Stdout(format!("{PROGRAM_NAME} {}\n", env!("CARGO_PKG_VERSION"))),
        Err(usage) => {
            let log_line = format!("no key was looked up, the arguments are wrong; see AuthorizedKeysCommand in sshd_config: {usage}");
            HelperOutput::Failed { stdout: String::new(), stderr: format!("{usage}\n"), log_line }
        }
    }
}

/// Asks the daemon about the key, and after a no the other command. In an outage nobody else is asked.
fn answer(lookup: &LookupArguments) -> HelperOutput {
    let started_at = clock::boot_time();
    match look_up_key(&lookup.socket, &lookup.key, LOOKUP_TIMEOUT) {
        Ok(KeyVerdict::Hit(hit)) => HelperOutput::Stdout(hit.authorized_keys_line(&lookup.shell)),
        Ok(KeyVerdict::Miss) => {
            let comment = authorized_keys::not_found_comment(&lookup.key);
            match &lookup.chain {
                None => HelperOutput::Stdout(comment),
                Some(chain) => chained(chain, comment, LOOKUP_TIMEOUT.saturating_sub(clock::boot_time().since(started_at))),
            }
        }
        Err(error) => HelperOutput::Failed {
            stdout: authorized_keys::lookup_failed_comment(error.category(), &error.to_string()),
            stderr: String::new(),
            log_line: format!(
                "key {} could not be looked up ({}): {error} ({})",
                fingerprint(&lookup.key),
                error.category(),
                lookup.socket.display()
            ),
        },
    }
}

/// Asks the other command, for at most `limit`.
fn chained(command: &ChainCommand, comment: String, limit: Duration) -> HelperOutput {
    match chain::run(command, limit) {
        Ok(output) => HelperOutput::Chained([comment.into_bytes(), output].concat()),
        Err(error) => HelperOutput::Failed {
            stdout: authorized_keys::lookup_failed_comment(CHAIN_CATEGORY, &error.to_string()),
            stderr: String::new(),
            log_line: format!("the command for keys that sidegate does not know has no answer: {error}"),
        },
    }
}

/// Returns the fingerprint of a key that is in the arguments, for the log.
fn fingerprint(key: &str) -> String {
    decode_blob(base64_part(key)).map_or_else(|| "of an unknown form".to_owned(), |blob| Fingerprint::of(&blob).to_string())
}

fn log(line: &str) {
    // Without a log there is nobody who could be told.
    let _ = syslog::send_line(Path::new(LOG_SOCKET), line, clock::wall_time(), std::process::id());
}

/// Writes the text in one write. A reader that has closed its end is no failure: sshd does so once it has its line, or when its client
/// is gone.
fn write_output(out: &mut impl Write, text: &[u8], code: ExitCode) -> ExitCode {
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            log(&format!("the answer could not be written: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{HelperOutput, run};

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn run_with(words: &[&str]) -> HelperOutput {
        run(words.iter().map(OsString::from))
    }

    #[test]
    fn an_outage_has_a_line_for_the_log_with_the_reason_and_the_fingerprint_and_without_the_key() {
        let HelperOutput::Failed { stdout, stderr, log_line } = run_with(&["--socket", "/nonexistent/api.sock", "git", "git", KEY]) else {
            panic!("there is no socket");
        };
        let reason = "there is no socket at this path; is sidegate running?";
        assert_eq!((stdout, stderr.as_str()), (format!("# sidegate: the key could not be looked up (outage): {reason}\n"), ""));
        assert!(log_line.starts_with("key SHA256:") && !log_line.contains("AAAA"), "{log_line}");
        assert!(log_line.ends_with(&format!(" could not be looked up (outage): {reason} (/nonexistent/api.sock)")), "{log_line}");
    }

    #[test]
    fn wrong_arguments_have_a_line_for_the_log_and_a_verdict_or_another_user_has_none() {
        let HelperOutput::Failed { log_line, .. } = run_with(&["git", "git"]) else { panic!("an argument is missing") };
        assert!(log_line.contains("AuthorizedKeysCommand") && log_line.contains("Insufficient arguments"), "{log_line}");
        assert_eq!(run_with(&["git", "root", KEY]), HelperOutput::Silent);
        assert_eq!(run_with(&["git", "git", "no key"]), HelperOutput::Stdout("# No key was found for no key\n".to_owned()));
    }
}
