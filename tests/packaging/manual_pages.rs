//! Each command that `--help` names has its manual page, each configuration has one, and what formats pages has no complaint about any.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{UNITS, expect_clean_output, read_shipped, run_if_installed, settings};

const CONFIG_PAGES: [&str; 3] = ["sidegate.toml.5", "sidegate-primary.toml.5", "sidegate-mirror.toml.5"];

fn sidegate(arguments: &[&str]) -> String {
    expect_clean_output(&Command::new(env!("CARGO_BIN_EXE_sidegate")).args(arguments).output().unwrap())
}

/// Writes all pages into a folder, and returns their names.
fn write_pages(folder: &Path) -> BTreeSet<String> {
    sidegate(&["man", "--out", folder.to_str().unwrap()]);
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Returns the commands that the help of a command names, without `help` itself.
fn named_in_help(command: &[&str]) -> Vec<String> {
    let help = sidegate(&[command, &["--help"]].concat());
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

/// Adds the page of a command and those of the commands below it.
fn expect_pages_of(command: &[&str], pages: &mut BTreeSet<String>) {
    let name = [&["sidegate"], command].concat().join("-");
    assert!(pages.insert(format!("{name}.1")), "{name} is named twice");
    for below in named_in_help(command) {
        expect_pages_of(&[command, &[&below]].concat(), pages);
    }
}

#[test]
fn every_command_and_every_configuration_has_its_page() {
    let folder = tempfile::tempdir().unwrap();
    let written = write_pages(folder.path());
    let mut expected = BTreeSet::from(CONFIG_PAGES.map(str::to_owned));
    expect_pages_of(&[], &mut expected);
    assert_eq!(written, expected);
    assert!(written.contains("sidegate-admin-apply.1") && written.contains("sidegate-completions.1"), "{written:?}");
}

#[test]
fn every_page_is_printed_by_its_name_and_says_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for file in write_pages(folder.path()) {
        let (name, section) = file.rsplit_once('.').unwrap();
        let page = fs::read_to_string(folder.path().join(&file)).unwrap();
        assert_eq!(sidegate(&["man", name]), page, "{file}");
        let title = page.lines().find_map(|line| line.strip_prefix(".TH ")).unwrap().replace(['"', '\\'], "").to_lowercase();
        assert!(title.starts_with(&format!("{name} {section} ")), "{file}: {title}");
        assert!(page.contains(".SH NAME\n") && page.contains("\n.SH DESCRIPTION\n"), "{file}");
    }
}

#[test]
fn a_page_that_there_is_not_is_refused_with_the_names_of_all() {
    let output = Command::new(env!("CARGO_BIN_EXE_sidegate")).args(["man", "sidegate-nothing"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains("sidegate-nothing") && message.contains("sidegate-admin-apply") && message.contains("sidegate.toml"),
        "{message}"
    );
}

#[test]
fn what_formats_manual_pages_has_no_complaint() {
    let folder = tempfile::tempdir().unwrap();
    for file in write_pages(folder.path()) {
        let path = folder.path().join(&file);
        if let Some(output) = run_if_installed(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(&path)) {
            expect_clean_output(&output);
        }
        let mut man = Command::new("man");
        man.args(["--warnings=w", "--local-file", "--pager=cat"]).arg(&path).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
        if let Some(output) = run_if_installed(&mut man) {
            assert!(expect_clean_output(&output).contains("NAME"), "{file}");
        }
        if let Some(output) = run_if_installed(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&path)) {
            assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(0), String::new()), "{file}");
        }
    }
}

#[test]
fn every_page_that_a_unit_names_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let written = write_pages(folder.path());
    for unit in UNITS {
        let unit = read_shipped(&format!("systemd/{unit}"));
        for page in settings(&unit, "Documentation")[0].split(' ') {
            let (name, section) = page.strip_prefix("man:").unwrap().strip_suffix(')').unwrap().split_once('(').unwrap();
            assert!(written.contains(&format!("{name}.{section}")), "{page}");
        }
    }
}
