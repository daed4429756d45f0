//! Reads the Rust files below `src/`: their text without comments and strings, which part of it is a test, and the paths that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One source file, read for its structure.
pub struct SourceFile {
    /// The path below `src/`.
    pub path: PathBuf,
    /// The module that it defines: `["store", "pages", "page"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    /// The whole file as it is.
    pub text: String,
    /// The file with its comments and the insides of its strings blanked; lines and columns stay.
    code: String,
    /// Where the tests at the end begin in `code`.
    tests_begin: usize,
    /// Whether the whole file is compiled for tests only.
    is_test: bool,
}

/// Names a path of identifiers: `crate::a::b`.
pub type CodePath = Vec<String>;

impl SourceFile {
    /// Reads a file from its text, as if it lay at `path` below `src/`.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let code = blank_comments_and_strings(text);
        let is_test = module.iter().any(|name| name == "tests");
        let tests_begin = if is_test { 0 } else { inline_tests(&code) };
        Self { path: PathBuf::from(path), module, text: text.to_owned(), code, tests_begin, is_test }
    }

    /// Returns the module below the root that the file belongs to: `store`.
    pub fn top(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Returns the code that ends up in a program.
    pub fn production(&self) -> &str {
        &self.code[..self.tests_begin]
    }

    /// Returns all code, tests included.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Says whether the whole file is a test.
    pub fn is_test(&self) -> bool {
        self.is_test
    }

    /// Returns every path that a part of this file's code names, from the root of the crate (`crate`) or of another (`std`).
    pub fn paths(&self, code: &str) -> BTreeSet<CodePath> {
        let tokens = tokens(code);
        let (mut imports, mut spoken) = (BTreeMap::new(), Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" {
                at = use_tree(&tokens, at + 1, &mut Vec::new(), &mut imports);
            } else if is_name(tokens[at]) {
                let begin = at;
                while tokens.get(at + 1) == Some(&"::") && tokens.get(at + 2).is_some_and(|token| is_name(token)) {
                    at += 2;
                }
                spoken.push(tokens[begin..=at].iter().step_by(2).map(|name| (*name).to_owned()).collect::<CodePath>());
            }
            at += 1;
        }
        let mut found: BTreeSet<CodePath> = imports.values().flatten().map(|path| self.absolute(path)).collect();
        for path in spoken {
            for import in imports.get(&path[0]).into_iter().flatten() {
                found.insert(self.absolute(&[import.as_slice(), &path[1..]].concat()));
            }
            if path.len() > 1 {
                found.insert(self.absolute(&path));
            }
        }
        found
    }

    /// Replaces `self` and `super` at the head of a path by what they stand for.
    fn absolute(&self, path: &[String]) -> CodePath {
        let above = path.iter().take_while(|name| *name == "super").count();
        let own = path.first().is_some_and(|name| name == "self");
        if above == 0 && !own {
            return path.to_vec();
        }
        let kept = self.module.len().saturating_sub(above);
        let rest = &path[above.max(usize::from(own))..];
        std::iter::once("crate".to_owned()).chain(self.module[..kept].iter().cloned()).chain(rest.iter().cloned()).collect()
    }
}

/// Reads all Rust files below a folder. A module that its parent compiles for tests only is a test.
pub fn read_tree(source: &Path) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    rust_files(source, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let within = path.strip_prefix(source).ok()?.to_str()?;
        Some(SourceFile::parse(within, &fs::read_to_string(path).ok()?))
    };
    let mut files: Vec<SourceFile> = paths.iter().filter_map(read).collect();
    let for_tests: Vec<CodePath> = files.iter().flat_map(test_modules).collect();
    for file in &mut files {
        if for_tests.iter().any(|module| file.module.starts_with(module)) {
            (file.is_test, file.tests_begin) = (true, 0);
        }
    }
    files
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Returns the modules that a file declares below `#[cfg(test)]`, each as a whole path.
fn test_modules(file: &SourceFile) -> Vec<CodePath> {
    let tokens = tokens(&file.code);
    let declared = tokens.windows(10).filter(|window| window[..7] == ["#", "[", "cfg", "(", "test", ")", "]"]);
    declared
        .filter(|window| window[7] == "mod" && window[9] == ";")
        .map(|window| file.module.iter().cloned().chain([window[8].to_owned()]).collect())
        .collect()
}

/// Returns where the tests at the end of a file begin, or its length.
fn inline_tests(code: &str) -> usize {
    let begins = |at: &usize| {
        let rest = code[at + "#[cfg(test)]".len()..].trim_start();
        rest.strip_prefix("mod ").is_some_and(|rest| rest.split(['{', ';']).next().is_some_and(|name| rest[name.len()..].starts_with('{')))
    };
    code.match_indices("#[cfg(test)]").map(|(at, _)| at).find(begins).unwrap_or(code.len())
}

/// Returns the same text with comments and the insides of strings and character literals replaced by blanks.
pub fn blank_comments_and_strings(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => text[at..].find('\n').map_or(text.len(), |length| at + length),
            [b'/', b'*', ..] => text[at..].find("*/").map_or(text.len(), |length| at + length + 2),
            [b'r', b'"' | b'#', ..] if at == 0 || !is_name_byte(bytes[at - 1]) || bytes[at - 1] == b'b' => raw_string_end(text, at),
            [b'"', ..] => string_end(bytes, at),
            [b'\'', b'\\', ..] => text[at + 3..].find('\'').map_or(text.len(), |length| at + 4 + length),
            [b'\'', rest @ ..] => char_end(rest, at),
            _ => at,
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).unwrap()
}

fn raw_string_end(text: &str, at: usize) -> usize {
    let hashes = text[at + 1..].bytes().take_while(|byte| *byte == b'#').count();
    if text.as_bytes().get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = at + 2 + hashes;
    text[body..].find(&close).map_or(text.len(), |length| body + length + close.len())
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

/// Returns the end of a character literal, or `at` where the quote begins a lifetime.
fn char_end(rest: &[u8], at: usize) -> usize {
    let length = rest.iter().take(5).position(|byte| *byte == b'\'').unwrap_or(0);
    let one_char = length == 1 || (length > 1 && !rest[0].is_ascii());
    if one_char { at + length + 2 } else { at }
}

fn is_name_byte(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn is_name(token: &str) -> bool {
    token.bytes().next().is_some_and(|byte| byte == b'_' || byte.is_ascii_alphabetic())
}

/// Splits code into names, `::` and single signs.
pub fn tokens(code: &str) -> Vec<&str> {
    let bytes = code.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let length = if is_name_byte(bytes[at]) {
            bytes[at..].iter().take_while(|byte| is_name_byte(**byte)).count()
        } else if code[at..].starts_with("::") {
            2
        } else {
            code[at..].chars().next().map_or(1, char::len_utf8)
        };
        if !bytes[at].is_ascii_whitespace() {
            found.push(&code[at..at + length]);
        }
        at += length;
    }
    found
}

/// Reads one tree of a `use`; fills in what each name stands for, and returns the place of the sign that ends the tree.
fn use_tree(tokens: &[&str], mut at: usize, head: &mut CodePath, imports: &mut BTreeMap<String, Vec<CodePath>>) -> usize {
    let depth = head.len();
    while let Some(token) = tokens.get(at) {
        match *token {
            "{" => {
                loop {
                    at = use_tree(tokens, at + 1, head, imports);
                    if tokens.get(at) != Some(&",") {
                        break;
                    }
                }
                head.truncate(depth);
                return at + 1;
            }
            "::" => {}
            name if is_name(name) && name != "as" => head.push(name.to_owned()),
            _ => break,
        }
        at += 1;
    }
    if head.len() > depth || tokens.get(at) == Some(&"*") {
        let path: CodePath =
            if depth > 0 && head.last().is_some_and(|name| name == "self") { &head[..head.len() - 1] } else { &head[..] }.to_vec();
        let alias = if tokens.get(at) == Some(&"as") { tokens[at + 1].to_owned() } else { path.last().cloned().unwrap_or_default() };
        imports.entry(alias).or_default().push(path);
    }
    while tokens.get(at).is_some_and(|token| !matches!(*token, "," | "}" | ";")) {
        at += 1;
    }
    head.truncate(depth);
    at
}
