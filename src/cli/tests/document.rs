//! The tables of docs/reference.md, each below its own heading. Also included by the test of metrics, which starts daemons.
//!
//! A test compares a table with what the program has. With `SIDEGATE_WRITE_REFERENCE=1` it writes it instead.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md");

/// Tests of one process write one after the other.
static WRITING: Mutex<()> = Mutex::new(());

/// The cells of a row.
pub type Row = Vec<String>;

/// Returns the rows of the table below a heading.
pub fn rows(heading: &str) -> Vec<Row> {
    table_lines(&fs::read_to_string(PATH).unwrap(), heading).iter().skip(2).map(|line| cells(line)).collect()
}

/// Returns a text as code.
pub fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Fails unless the table below a heading has exactly these rows, and names those that are missing or too much.
pub fn assert_table(heading: &str, columns: &[&str], expected: &[Row]) {
    let _turn = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let text = fs::read_to_string(PATH).unwrap();
    let line = |cells: &[String]| format!("| {} |", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "));
    let head = columns.iter().map(|&column| column.to_owned()).collect::<Row>();
    let rule = columns.iter().map(|_| "---".to_owned()).collect::<Row>();
    let wanted: Vec<String> = [head, rule].iter().chain(expected).map(|cells| line(cells)).collect();
    let found = table_lines(&text, heading);
    if std::env::var_os("SIDEGATE_WRITE_REFERENCE").is_some() {
        let start = text.find(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("docs/reference.md has no heading {heading}"));
        let (before, after) = text.split_at(start);
        fs::write(PATH, format!("{before}{}", after.replacen(&found.join("\n"), &wanted.join("\n"), 1))).unwrap();
        return;
    }
    let (wanted_set, found_set): (BTreeSet<&str>, BTreeSet<&str>) =
        (wanted.iter().map(String::as_str).collect(), found.iter().copied().collect());
    let missing: Vec<_> = wanted_set.difference(&found_set).copied().collect();
    let too_much: Vec<_> = found_set.difference(&wanted_set).copied().collect();
    assert!(
        missing.is_empty() && too_much.is_empty(),
        "docs/reference.md, {heading} (SIDEGATE_WRITE_REFERENCE=1 writes it)\nmissing:\n{}\ntoo much:\n{}",
        missing.join("\n"),
        too_much.join("\n")
    );
    assert_eq!(found, wanted, "docs/reference.md, {heading}: the same rows in another order");
}

fn table_lines<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let title = format!("## {heading}");
    let lines = text.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.starts_with("## "));
    lines.filter(|line| line.starts_with('|')).collect()
}

fn cells(line: &str) -> Row {
    let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")).unwrap_or_else(|| panic!("{line}"));
    inner.replace("\\|", "\u{0}").split(" | ").map(|cell| cell.replace('\u{0}', "|")).collect()
}
