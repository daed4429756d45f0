//! Runs another program of the system, as systemctl or sshd, for no longer than a limit.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// What a program printed, and whether it ended well.
#[derive(Debug)]
pub struct ProgramOutput {
    /// Whether its exit code is 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl ProgramOutput {
    /// Returns the last line of what it complained of, which says why it ended.
    #[must_use]
    pub fn complaint(&self) -> &str {
        self.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it gave no reason")
    }
}

/// Runs a program to its end, with nothing on its standard input, and in the plain language of the system. It is ended at the limit. Returns
/// why it could not be run otherwise.
pub fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A], limit: Duration) -> Result<ProgramOutput, String> {
    let name = program.display();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").kill_on_drop(true);
    let ended = runtime.block_on(async { tokio::time::timeout(limit, command.output()).await });
    let output =
        ended.map_err(|_| format!("{name} did not end within {} s", limit.as_secs()))?.map_err(|error| format!("{name}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(ProgramOutput { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::run;

    #[test]
    fn a_program_is_run_to_its_end_or_its_limit_and_one_that_is_not_there_is_named() {
        let shell = Path::new("/bin/sh");
        let output = run(shell, &["-c", "echo said; echo first >&2; echo ' last ' >&2; exit 3"], Duration::from_secs(60)).unwrap();
        assert_eq!((output.success, output.stdout.as_str(), output.complaint()), (false, "said\n", "last"));
        let silent = run(shell, &["-c", "exit 1"], Duration::from_secs(60)).unwrap();
        assert_eq!(silent.complaint(), "it gave no reason");
        assert!(run(shell, &["-c", "exec tail -f /dev/null"], Duration::from_millis(1)).unwrap_err().contains("did not end within"));
        assert!(run(Path::new("/nonexistent/sshd"), &["-T"], Duration::from_secs(60)).unwrap_err().starts_with("/nonexistent/sshd: "));
    }
}
