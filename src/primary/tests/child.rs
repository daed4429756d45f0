//! A test of this program, run again as a process of its own, and killed while it writes.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// Names the folder in which a child works; without it a test that is meant as a child does nothing.
const FOLDER_VARIABLE: &str = "SIDEGATE_TEST_CHILD_FOLDER";

/// The folder of this process, if it is a child.
pub fn child_folder() -> Option<OsString> {
    std::env::var_os(FOLDER_VARIABLE)
}

/// Tells the parent that one more step is on disk. Fails once nobody listens, so that no child outlives its test.
pub fn report_done(step: &str) {
    writeln!(std::io::stdout(), "\ndone {step}").unwrap();
}

/// Starts a test of `crate::primary::tests` as a child, kills it once it has reported so many steps, and returns all that it reported.
pub fn kill_after(steps: usize, test: &str, folder: &Path) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("primary::tests::{test}"), "--nocapture"]).env(FOLDER_VARIABLE, folder);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut reported = lines.filter_map(|line| line.strip_prefix("done ").map(str::to_owned));
    let mut done: Vec<String> = reported.by_ref().take(steps).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(done.len(), steps, "the child {test} did not run, or ended by itself");
    done.extend(reported);
    done
}
