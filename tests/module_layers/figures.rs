//! The figures of a source tree: how much there is, how large its parts are, and what has two meanings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::graph;
use crate::source::{self, SourceFile};

/// Returns the figures of a tree, one line each.
pub fn of_tree(root: &Path) -> String {
    let files = source::read_tree(&root.join("src"));
    let code_lines: usize = files.iter().filter(|file| !file.is_test()).map(|file| lines(&file.text[..file.production().len()])).sum();
    let bare_lines: usize = files.iter().map(|file| file.production().lines().filter(|line| !line.trim().is_empty()).count()).sum();
    let all_lines: usize = files.iter().map(|file| lines(&file.text)).sum();
    let outside: usize = ["tests", "benches", "fuzz"].iter().map(|folder| rust_lines(&root.join(folder))).sum();
    let between_files = graph::imports_between_files(&files);
    let circles = graph::circles(&between_files);
    let folder_circles = graph::circles(&graph::imports_between_folders(&between_files));
    let largest = files.iter().filter(|file| !file.is_test()).max_by_key(|file| lines(&file.text));
    let longest = files.iter().filter(|file| !file.is_test()).flat_map(functions).max();
    let (in_one_module, anywhere) = (twice_named(&files, SourceFile::top), twice_named(&files, |_| ""));
    [
        format!("lines in src/ without tests: {code_lines}"),
        format!("lines of code in src/ without tests, comments and blank lines: {bare_lines}"),
        format!("lines of tests (in src/, tests/, benches/, fuzz/): {}", all_lines - code_lines + outside),
        format!("files in src/ (of these tests): {} ({})", files.len(), files.iter().filter(|file| file.is_test()).count()),
        format!("circles between files (files in them): {} ({})", circles.len(), circles.iter().map(Vec::len).sum::<usize>()),
        format!("circles between folders: {}", folder_circles.len()),
        format!("largest file: {}", largest.map_or(String::new(), |file| format!("{} lines, {}", lines(&file.text), file.path.display()))),
        format!("longest function: {}", longest.map_or(String::new(), |(length, name)| format!("{length} lines, {name}"))),
        format!("direct dependencies: {}", direct_dependencies(root)),
        format!("type names with two meanings in one module: {} {}", in_one_module.len(), in_one_module.join(" ")),
        format!("type names with two meanings in all of src/: {}", anywhere.len()),
    ]
    .join("\n")
}

fn lines(text: &str) -> usize {
    text.lines().count()
}

fn rust_lines(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("target"));
    paths
        .map(|path| match path.extension() {
            _ if path.is_dir() => rust_lines(&path),
            Some(extension) if extension == "rs" => lines(&fs::read_to_string(&path).unwrap()),
            _ => 0,
        })
        .sum()
}

/// Returns the length and the name of each function of a file, from the line of its `fn` to its closing brace.
fn functions(file: &SourceFile) -> Vec<(usize, String)> {
    let code = file.production();
    let begins = code.match_indices("fn ").map(|(at, _)| at).filter(|at| *at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric());
    begins
        .filter_map(|at| {
            let body = at + code[at..].find(['{', ';'])?;
            let mut depth = 0;
            let end = code[body..].char_indices().find(|(_, sign)| {
                depth += i32::from(*sign == '{') - i32::from(*sign == '}');
                depth == 0
            })?;
            let name = code[at + 3..body].split(['(', '<']).next()?.trim();
            Some((lines(&code[at..=body + end.0]), format!("{name} in {}", file.path.display())))
        })
        .collect()
}

fn direct_dependencies(root: &Path) -> usize {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    section.lines().take_while(|line| !line.starts_with('[')).filter(|line| line.contains('=')).count()
}

/// Returns the names of types that are declared more than once within one scope.
fn twice_named<'a>(files: &'a [SourceFile], scope: impl Fn(&'a SourceFile) -> &'a str) -> Vec<String> {
    let mut declared: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let tokens = source::tokens(file.production());
        let names: Vec<&str> =
            tokens.windows(2).filter(|pair| matches!(pair[0], "struct" | "enum" | "trait" | "union")).map(|pair| pair[1]).collect();
        for name in names {
            *declared.entry((scope(file), name)).or_default() += 1;
        }
    }
    let twice = declared.into_iter().filter(|(_, count)| *count > 1).map(|((scope, name), _)| format!("{scope}::{name}"));
    twice.collect::<BTreeSet<_>>().into_iter().collect()
}
