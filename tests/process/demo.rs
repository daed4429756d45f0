//! `sidegate demo`: both acts come to their end, say what they show, and leave nothing behind however they end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn demo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sidegate")).arg("demo").args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Returns the answer on the line of a question, without the time that it took.
fn answer(text: &str, question: &str, which: usize) -> String {
    let line =
        text.lines().filter(|line| line.trim_start().starts_with(question)).nth(which).unwrap_or_else(|| panic!("{question}: {text}"));
    line.trim_start()[question.len()..].trim().rsplit_once("  (").unwrap().0.to_owned()
}

#[test]
fn with_a_primary_it_revokes_a_key_and_outlives_the_primary() {
    let text = demo(&["--once"]);
    assert!(text.contains("revoked on 1 of 1 hosts"), "{text}");
    for which in 0..2 {
        assert_eq!(answer(&text, "whose key is zoe's?", which), "key 1 of Zoe", "before and after the primary is killed");
    }
    assert!(answer(&text, "may zoe pull tools/gate?", 0).starts_with("yes: project-20"));
    assert!(answer(&text, "may ben, a reporter, push there?", 0).starts_with("no: "));
    assert!(text.contains("End of the demonstration"), "{text}");
}

#[test]
fn with_a_gitlab_it_keeps_answers_refuses_a_removed_key_and_outlives_a_gitlab_that_hangs() {
    let text = demo(&["--gitlab", "--once"]);
    assert_eq!(answer(&text, "whose key is zoe's? once more", 0), "key 1 of zoe");
    assert!(answer(&text, "may zoe pull tools/gate? once more", 0).starts_with("yes: project-20"));
    assert_eq!(answer(&text, "may ben, a reporter, push there?", 0), "no: You are not allowed to push code to this project.");
    assert!(text.contains("   refused  ("), "{text}");
    let hanging = text.split_once("5. GitLab hangs").unwrap().1;
    assert_eq!(answer(hanging, "whose key is zoe's?", 0), "key 1 of zoe");
    assert!(answer(hanging, "whose key is a stranger's?", 0).starts_with("The Git server's application did not answer"), "{text}");
}

/// The commands of all processes that name the folder: its daemons, its sshd, and what these have started.
fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let commands = fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.unwrap().path().join("cmdline")).ok());
    commands.map(|command| String::from_utf8_lossy(&command).replace('\0', " ")).filter(|command| command.contains(name)).collect()
}

/// Waits until no process names the folder: a login under way ends by itself once its sshd is gone.
fn wait_until_none_runs(folder: &Path) {
    let begun = Instant::now();
    while !processes_of(folder).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", processes_of(folder));
        std::thread::yield_now();
    }
}

/// Sends a signal to a demonstration once it has printed a line that begins with `moment`; returns its folder, once it has ended.
fn end_at(moment: &str, arguments: &[&str], signal: Signal) -> PathBuf {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let mut child = command.arg("demo").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut folder = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, path)) = line.split_once(" start in ") {
            folder = Some(PathBuf::from(path));
        }
        if line.starts_with(moment) {
            kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.success(), signal != Signal::SIGKILL, "{moment} {signal}: {status}");
    folder.unwrap()
}

#[test]
fn a_signal_at_any_moment_leaves_no_program_and_no_folder_behind() {
    let moments = ["1. ", "2. ", "3. ", "4. ", "5. ", "All of it runs until Ctrl-C"];
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    for (at, moment) in moments.iter().enumerate() {
        let folder = end_at(moment, &[], signals[at % 3]);
        wait_until_none_runs(&folder);
        assert!(!folder.exists(), "{moment}");
    }
    let folder = end_at("5. ", &["--gitlab"], Signal::SIGTERM);
    wait_until_none_runs(&folder);
    assert!(!folder.exists(), "in front of a GitLab");
}

#[test]
fn a_demonstration_that_is_killed_takes_its_programs_along() {
    let folder = end_at("All of it runs until Ctrl-C", &[], Signal::SIGKILL);
    wait_until_none_runs(&folder);
    fs::remove_dir_all(&folder).unwrap();
}
