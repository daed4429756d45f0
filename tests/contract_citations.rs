//! Each section of the contract that the code cites (`server.md 2.3`, `client.md 1.7`) is a heading in `docs/contract/`.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 2] = ["server.md", "client.md"];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            found.push(path);
        }
    }
}

/// Returns the numbers at the beginning of a page's headings: `2.3` of `### 2.3 GET authorized_keys`.
fn headings(page: &str) -> BTreeSet<&str> {
    let titles = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim_start());
    titles.filter_map(|title| title.split(' ').next()).filter(|word| is_section(word)).collect()
}

fn is_section(word: &str) -> bool {
    !word.is_empty() && word.split('.').all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns the sections of a page that a text cites, the further ones of a list or a range included: `server.md 1.3, 1.4 and 2.3-2.5`.
fn cited<'a>(text: &'a str, page: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(page) {
        let mut rest = text[at + page.len()..].strip_prefix(' ').unwrap_or_default();
        loop {
            let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
            let section = rest[..length].trim_end_matches('.');
            if !is_section(section) {
                break;
            }
            found.push(section);
            let after = &rest[section.len()..];
            let Some(next) = [", ", " and ", "-"].iter().find_map(|between| after.strip_prefix(between)) else { break };
            rest = next;
        }
    }
    found
}

#[test]
fn every_cited_section_of_the_contract_is_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    source_files(&root.join("src"), &mut files);
    source_files(&root.join("tests"), &mut files);
    files.retain(|path| !path.ends_with(file!()));
    let mut count = 0;
    for page in PAGES {
        let contract = fs::read_to_string(root.join("docs/contract").join(page)).unwrap();
        let headings = headings(&contract);
        for path in &files {
            for section in cited(&fs::read_to_string(path).unwrap(), page) {
                assert!(headings.contains(section), "{} cites {page} {section}, which is no heading", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} citations were found");
}

#[test]
fn a_citation_without_its_heading_is_seen() {
    let headings = headings("# The server's side\n\n## 2 Endpoints\n\n### 2.3 GET authorized_keys\n\nAs in 2.4.\n");
    assert_eq!(headings.iter().copied().collect::<Vec<_>>(), ["2", "2.3"]);
    let sections = cited("(server.md 2.3, 3.1 and 8.5). client.md 1.7; server.md 1.2-1.4: server.md alone", "server.md");
    assert_eq!(sections, ["2.3", "3.1", "8.5", "1.2", "1.4"]);
    assert!(sections.iter().any(|section| !headings.contains(section)));
}
