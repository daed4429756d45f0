//! The command that is asked for a key that sidegate does not know (`--chain`): what sshd asked before sidegate came.
//!
//! It is asked after a no of sidegate and never in an outage: a key that sidegate would answer with a forced command must not get in by
//! another, freer line because a daemon was stopped. It runs as the user that sshd starts this program as, with the arguments that sshd put
//! in, and its output is sshd's once it has ended well; so it is whole or not there. It has what is left of this program's own time: a
//! command that hangs is killed with all that it started in its process group, and the login waits for nothing else.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::helper::arguments::ChainCommand;

/// The longest output of a command, in bytes: some thousand keys.
pub const MAX_CHAIN_BYTES: usize = 1 << 20;
const GROUP_OR_OTHERS_WRITE: u32 = 0o022;

/// Why the command has no answer. As in an outage, that is no denial.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// Another than root could put a program in its place. sshd refuses such a command itself.
    #[error("{} may be written by another than root", .0.display())]
    Unsafe(PathBuf),
    /// It is not there, or the user that sshd starts this program as may not reach it.
    #[error("{} {}", .0.display(), out_of_reach(.1))]
    OutOfReach(PathBuf, io::Error),
    /// It cannot be started.
    #[error("{}: {}", .0.display(), .1)]
    NotStarted(PathBuf, io::Error),
    /// It did not end, or did not close its output, in the time that was left.
    #[error("{} did not end within {} ms", .0.display(), .1.as_millis())]
    Timeout(PathBuf, Duration),
    /// It did not end well.
    #[error("{} ended with {}", .0.display(), ending(*.1))]
    Failed(PathBuf, ExitStatus),
    /// Its output is longer than that of any command that answers for one user.
    #[error("{} printed more than {MAX_CHAIN_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
}

/// Runs the command to its end, for at most `limit`, and returns its output.
pub fn run(command: &ChainCommand, limit: Duration) -> Result<Vec<u8>, ChainError> {
    let program = &command.program;
    let real = fs::canonicalize(program).map_err(|error| ChainError::OutOfReach(program.clone(), error))?;
    if let Some(part) = unsafe_part_of(&real) {
        return Err(ChainError::Unsafe(part));
    }
    let not_started = |error| ChainError::NotStarted(program.clone(), error);
    let mut started = Command::new(program);
    started.args(&command.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let child = started.spawn().map_err(not_started)?;
    let group = Pid::from_raw(child.id().cast_signed());
    let (sender, receiver) = mpsc::channel();
    let wait = move || {
        // Nobody receives it any more after the limit.
        let _ = sender.send(wait_for_output(child));
    };
    thread::Builder::new().spawn(wait).map_err(not_started)?;
    let ended = receiver.recv_timeout(limit);
    if !matches!(ended, Ok(Ok((_, Some(_))))) {
        // It may have ended just now.
        let _ = killpg(group, Signal::SIGKILL);
    }
    match ended {
        Ok(Ok((output, Some(status)))) if status.success() => Ok(output),
        Ok(Ok((_, Some(status)))) => Err(ChainError::Failed(program.clone(), status)),
        Ok(Ok((_, None))) => Err(ChainError::TooLong(program.clone())),
        Ok(Err(error)) => Err(not_started(error)),
        Err(_) => Err(ChainError::Timeout(program.clone(), limit)),
    }
}

/// Reads the output to its end, and waits for the end of the command; no status if the output is too long.
fn wait_for_output(mut child: Child) -> io::Result<(Vec<u8>, Option<ExitStatus>)> {
    let mut output = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        pipe.take(MAX_CHAIN_BYTES as u64 + 1).read_to_end(&mut output)?;
    }
    if output.len() > MAX_CHAIN_BYTES {
        return Ok((output, None));
    }
    child.wait().map(|status| (output, Some(status)))
}

/// Returns the first part of a program's path that another than root owns, or that group or others may write: sshd's own rule about the
/// commands that it runs. A program that is not there is such a part itself. For whoever sets a host up; the helper looks when it runs one.
#[cfg(feature = "daemon")]
#[must_use]
pub fn unsafe_part(program: &Path) -> Option<PathBuf> {
    fs::canonicalize(program).map_or_else(|_| Some(program.to_owned()), |real| unsafe_part_of(&real))
}

fn unsafe_part_of(real: &Path) -> Option<PathBuf> {
    let is_unsafe = |part: &&Path| part.metadata().map_or(true, |found| found.uid() != 0 || found.mode() & GROUP_OR_OTHERS_WRITE != 0);
    real.ancestors().find(is_unsafe).map(Path::to_owned)
}

fn out_of_reach(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is not there; correct the path after --chain".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "cannot be reached by this user, because of a folder above it; correct that folder's mode".to_owned()
        }
        _ => format!("cannot be reached: {error}"),
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{ChainError, MAX_CHAIN_BYTES, out_of_reach, run, unsafe_part};
    use crate::helper::arguments::ChainCommand;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str, limit: Duration) -> Result<Vec<u8>, ChainError> {
        let arguments = ["-c", script, "sh", "git user", "$HOME"].map(Into::into).to_vec();
        run(&ChainCommand { program: "/bin/sh".into(), arguments }, limit)
    }

    #[test]
    fn the_output_of_a_command_that_ends_well_is_whole_and_no_argument_is_read_again() {
        assert_eq!(shell("printf '%s|' \"$@\"; printf '\\377\\n'", LONG).unwrap(), b"git user|$HOME|\xff\n");
        let script = format!("head -c {MAX_CHAIN_BYTES} /dev/zero");
        assert_eq!(shell(&script, LONG).unwrap().len(), MAX_CHAIN_BYTES);
    }

    #[test]
    fn a_command_that_fails_or_prints_too_much_has_no_output() {
        let failed = shell("echo a-line-that-must-not-count; exit 3", LONG).unwrap_err();
        assert_eq!(failed.to_string(), "/bin/sh ended with exit status 3");
        assert_eq!(shell("kill -9 $$", LONG).unwrap_err().to_string(), "/bin/sh ended with signal 9");
        let script = format!("head -c {} /dev/zero; exec tail -f /dev/null", MAX_CHAIN_BYTES + 1);
        assert!(matches!(shell(&script, LONG), Err(ChainError::TooLong(_))));
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("held");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // The child holds the pipe open until it is killed; its parent waits for it.
        let script = format!("(exec 3>'{}'; exec tail -f /dev/null) & wait", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read(pipe));
        let hung = shell(&script, Duration::from_millis(300)).unwrap_err();
        assert!(hung.to_string().starts_with("/bin/sh did not end within 300 ms"), "{hung}");
        assert_eq!(reader.join().unwrap().unwrap(), b"", "the end of the pipe comes with the end of the last who holds it");
    }

    #[test]
    fn what_another_than_root_could_replace_is_not_run() {
        assert_eq!(unsafe_part(Path::new("/bin/sh")), None);
        assert_eq!(unsafe_part(Path::new("/nonexistent/keys")), Some("/nonexistent/keys".into()));
        let missing = run(&ChainCommand { program: "/nonexistent/keys".into(), arguments: Vec::new() }, LONG).unwrap_err();
        assert_eq!(missing.to_string(), "/nonexistent/keys is not there; correct the path after --chain");
        let closed = out_of_reach(&std::io::ErrorKind::PermissionDenied.into());
        assert!(closed.starts_with("cannot be reached by this user"), "{closed}");
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("keys");
        std::fs::copy("/bin/true", &program).unwrap();
        let command = ChainCommand { program, arguments: Vec::new() };
        assert!(matches!(run(&command, LONG), Err(ChainError::Unsafe(_))), "everybody may write in the folder of temporary files");
    }
}
