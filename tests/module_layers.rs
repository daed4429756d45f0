//! The house stands on floors: a room imports only from floors below its own, and no file from a room beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has failed")]

use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: [&[&str]; 6] =
    [&["model"], &["rules", "wire", "store", "net"], &["api"], &["helper", "sidecar", "replica", "primary"], &["cli"], &["bin"]];

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
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

fn upward_import(room: &str, source: &str) -> Option<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>())
        .find(|named| named != room && layer_of(named) >= layer_of(room))
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    rust_files(&source, &mut found);
    assert!(found.len() > 5, "the source was not found");
    for file in found {
        let within = file.strip_prefix(&source).unwrap();
        let room = within.components().next().unwrap().as_os_str().to_str().unwrap();
        if room == "lib.rs" {
            continue;
        }
        assert!(layer_of(room).is_some(), "{} is in a room that is on no floor", within.display());
        let wrong = upward_import(room, &fs::read_to_string(&file).unwrap());
        assert_eq!(wrong, None, "{} imports from a room that is not below it", within.display());
    }
}

#[test]
fn a_wrong_import_is_seen() {
    assert_eq!(upward_import("wire", "use crate::store::pages::page_map::Page;").as_deref(), Some("store"));
    assert_eq!(upward_import("model", "    crate::wire::directory::record_references::references(x)").as_deref(), Some("wire"));
    assert_eq!(upward_import("wire", "use crate::model::Id;\nuse crate::wire::directory::record_references::Target;\n// crate::cli"), None);
}
