//! Every exit code, as `exit_status.rs` has them; no other file ends the process with a code of its own.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit_status::exit_codes;
use crate::cli::tests::document::{Row, assert_table, code};
use crate::helper::arguments::PROGRAM_NAME;

/// The exit codes of the helper, which sshd looks at.
const HELPER: [(u8, &str); 2] = [
    (0, "There is a verdict, which is printed: the key's line, or a comment that no key was found; or the login is another user's."),
    (1, "There is no verdict, or no answer of the command after `--chain`: sshd takes no key from it, and the system's log says why."),
];

#[test]
fn every_exit_code_is_in_the_reference_and_no_other_is() {
    let row = |program: &str, number: u8, says: &str| -> Row { vec![code(program), number.to_string(), says.to_owned()] };
    let own = exit_codes().into_iter().map(|status| row("sidegate", status.code, status.says));
    let rows: Vec<Row> = own.chain(HELPER.map(|(number, says)| row(PROGRAM_NAME, number, says))).collect();
    assert_table("Exit codes", &["program", "exit code", "what it says"], &rows);
}

fn source_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// Returns what a source text ends the process with, its tests left out.
fn exits(text: &str) -> Vec<&str> {
    let product = text.split("#[cfg(test)]").next().unwrap_or_default();
    let after = ["process::exit(", "ExitCode::from("].into_iter().flat_map(|call| product.split(call).skip(1));
    after.filter_map(|rest| rest.split_once([')', '('])).map(|(code, _)| code).collect()
}

#[test]
fn the_process_ends_with_a_code_of_the_reference_only() {
    assert_eq!(exits("std::process::exit(4) ExitCode::from(status.code)\n#[cfg(test)] process::exit(5)"), ["4", "status.code"]);
    let known: Vec<u8> = exit_codes().iter().map(|status| status.code).collect();
    let mut files = Vec::new();
    source_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let is_tests = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "tests");
    for file in files.into_iter().filter(|path| !is_tests(path)) {
        let text = fs::read_to_string(&file).unwrap();
        for exit in exits(&text) {
            let is_named = ["completion.code", "FAILED.code", "status.into"].contains(&exit);
            assert!(
                is_named || exit.parse().is_ok_and(|code| known.contains(&code)),
                "{}: {exit} is no exit code of the reference",
                file.display()
            );
        }
    }
}
