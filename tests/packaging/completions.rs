//! The completions are understood by the shells that they are for, and complete commands, options and what an option may say.
//!
//! A test does nothing where its shell is not installed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{expect_clean_output, run_if_installed};

/// Writes the completions for a shell into a folder of their own.
fn completions(shell: &str) -> (TempDir, PathBuf) {
    let printed = Command::new(env!("CARGO_BIN_EXE_sidegate")).args(["completions", shell]).output().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("_sidegate");
    fs::write(&file, expect_clean_output(&printed)).unwrap();
    (folder, file)
}

#[test]
fn the_help_names_them_and_the_shells() {
    let help = Command::new(env!("CARGO_BIN_EXE_sidegate")).arg("--help").output().unwrap();
    assert!(expect_clean_output(&help).contains("\n  completions "));
    let help = Command::new(env!("CARGO_BIN_EXE_sidegate")).args(["completions", "--help"]).output().unwrap();
    let help = expect_clean_output(&help);
    assert!(["bash", "zsh", "fish"].iter().all(|shell| help.contains(shell)), "{help}");
}

#[test]
fn each_shell_accepts_its_own() {
    for (shell, option) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let (_folder, file) = completions(shell);
        if let Some(output) = run_if_installed(Command::new(shell).arg(option).arg(&file)) {
            expect_clean_output(&output);
        }
    }
}

/// What bash proposes for the last word of a line.
fn proposed_by_bash(words: &[&str]) -> Vec<String> {
    let (_folder, file) = completions("bash");
    // As readline does it: the function that `complete` names, with the words in its variables.
    let script = r#"
        source "$1"; shift
        how=$(complete -p sidegate); [[ $how =~ -F\ ([^ ]+) ]]
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "${BASH_REMATCH[1]}" sidegate "${@: -1}" "${@: -2:1}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash").args(["--norc", "-c", script, "bash"]).arg(&file).args(words).output().unwrap();
    expect_clean_output(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    assert_eq!(proposed_by_bash(&["sidegate", "sta"]), ["status"]);
    assert_eq!(proposed_by_bash(&["sidegate", "admin", "app"]), ["apply"]);
    assert_eq!(proposed_by_bash(&["sidegate", "status", "--js"]), ["--json"]);
    assert_eq!(proposed_by_bash(&["sidegate", "explain", "--action", "pu"]), ["pull", "push"]);
    // What runs for other programs only is not proposed.
    assert!(proposed_by_bash(&["sidegate", "as"]).iter().all(|proposed| proposed != "as-user"));
}

#[test]
fn fish_completes_commands() {
    let (_folder, file) = completions("fish");
    let script = format!("source {}; complete --do-complete 'sidegate admin app'", file.display());
    if let Some(output) = run_if_installed(Command::new("fish").args(["--no-config", "-c", &script])) {
        let proposed = expect_clean_output(&output);
        assert!(proposed.starts_with("apply\t"), "{proposed}");
    }
}

#[test]
fn a_reader_that_ends_early_is_no_error() {
    let script = r#"set -o pipefail; "$1" completions bash | head -c 1 >/dev/null; "$1" man | head -c 1 >/dev/null"#;
    let output = Command::new("bash").args(["-c", script, "bash", env!("CARGO_BIN_EXE_sidegate")]).output().unwrap();
    expect_clean_output(&output);
}
