//! Every command of `sidegate` with its arguments, as clap has them, and the arguments of the helper.

use std::ffi::OsString;

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::arguments::Arguments;
use crate::cli::tests::document::{Row, assert_table, code};
use crate::helper::arguments::{PROGRAM_NAME, SIDECAR_SOCKET, UsageError, parse_arguments};
use crate::wire::authorized_keys::ShellPath;

/// Adds a command, its arguments, and its own commands.
fn add(command: &Command, name: &str, rows: &mut Vec<Row>) {
    let about = command.get_about().unwrap_or_else(|| panic!("{name} says nothing of itself"));
    rows.push(vec![code(name), "–".to_owned(), "–".to_owned(), about.to_string()]);
    let is_own = |argument: &&Arg| name == "sidegate" || argument.get_id() != "help";
    for argument in command.get_arguments().filter(is_own) {
        let help = argument.get_help().unwrap_or_else(|| panic!("{name} {argument} has no help"));
        let choices: Vec<String> = argument.get_possible_values().iter().map(|value| code(value.get_name())).collect();
        let choices = if choices.is_empty() || !argument.get_action().takes_values() {
            String::new()
        } else {
            format!("; one of {}", choices.join(", "))
        };
        rows.push(vec![code(name), code(&form(argument)), default(argument), format!("{help}{choices}")]);
    }
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        add(inner, &format!("{name} {}", inner.get_name()), rows);
    }
}

/// Returns an argument as it is written: `--config FILE`, `-h, --help`, `FILE`.
fn form(argument: &Arg) -> String {
    let values = argument.get_value_names().map(|names| names.join(" ")).filter(|_| argument.get_action().takes_values());
    let short = argument.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
    match (argument.get_long(), values) {
        (Some(long), Some(values)) => format!("{short}--{long} {values}"),
        (Some(long), None) => format!("{short}--{long}"),
        (None, values) => values.unwrap_or_else(|| argument.get_id().as_str().to_uppercase()),
    }
}

fn default(argument: &Arg) -> String {
    let values: Vec<String> = argument.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect();
    if values.is_empty() || !argument.get_action().takes_values() { "–".to_owned() } else { values.join(" ") }
}

/// The helper parses its arguments without clap.
fn helper_rows() -> Vec<Row> {
    let row = |form: &str, default: &str, says: &str| vec![code(PROGRAM_NAME), form.to_owned(), default.to_owned(), says.to_owned()];
    vec![
        row("–", "–", "Look up a key for sshd (`AuthorizedKeysCommand`), and print its line of authorized keys"),
        row("`--socket PATH`", &code(SIDECAR_SOCKET), "The sidecar's socket"),
        row("`--shell PATH`", &code(&ShellPath::default().to_string()), "The program that sshd runs for a key that is found"),
        row("`--version`", "–", "Print version"),
        row("`EXPECTED_USER`", "–", "The user whose keys are looked up; the line of sshd_config names it"),
        row("`ACTUAL_USER`", "–", "The user who logs in: `%u`; for another than the expected one nothing is printed"),
        row("`KEY`", "–", "The key that is offered: `%k`"),
        row(
            "`--chain PROGRAM [ARGUMENT…]`",
            "–",
            "The command that is asked for keys that sidegate does not know; it stands after the key",
        ),
    ]
}

#[test]
fn every_command_and_argument_is_in_the_reference_and_no_other_is() {
    let mut root = Arguments::command();
    root.build();
    let mut rows = Vec::new();
    add(&root, "sidegate", &mut rows);
    rows.extend(helper_rows());
    assert_table("Commands and their arguments", &["command", "argument", "default", "what it says"], &rows);
}

#[test]
fn the_helper_takes_the_arguments_of_the_reference_and_its_usage_names_them() {
    let usage = UsageError::UnknownOption("x".to_owned()).to_string();
    let named: Vec<&str> =
        usage.split_whitespace().map(|word| word.trim_start_matches('[')).filter(|word| word.starts_with("--")).collect();
    let rows = helper_rows();
    let forms = rows.iter().map(|row| row[1].trim_matches('`')).filter(|form| form.starts_with("--") && form.contains(' '));
    let listed: Vec<&str> = forms.filter_map(|form| form.split(' ').next()).collect();
    assert_eq!(named, listed);
    let all = ["--socket", "/x", "--shell", "/x", "git", "git", "AAAA", "--chain", "/x"];
    assert!(parse_arguments(all.into_iter().map(OsString::from)).is_ok());
    assert!(parse_arguments([OsString::from("--version")].into_iter()).is_ok());
}
