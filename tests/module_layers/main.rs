//! The modules stand in layers: a module imports only from layers below its own, and no files inside a module import each other in a
//! circle. Each test also shows that it sees a violation.
//!
//! `tests/count` prints the figures of a source tree with the same reader.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has failed")]
#![expect(clippy::print_stdout, reason = "the figures are printed")]

mod figures;
mod graph;
mod source;

use std::path::Path;

use source::SourceFile;

/// The layers of `src/lib.rs`, the lowest first.
const LAYERS: [&[&str]; 7] = [
    &["model"],
    &["rules", "wire", "store", "net"],
    &["api"],
    &["helper", "sidecar", "replica", "primary"],
    &["mirror"],
    &["cli"],
    &["bin"],
];

/// Crates that one module alone may name.
const OWNED_CRATES: [(&str, &[&str]); 3] = [
    ("store", &["sled"]),
    ("net", &["hyper", "hyper_util", "hyper_rustls", "hyperlocal", "h2", "tonic", "tonic_prost", "prost"]),
    ("replica", &["async_nats", "nats"]),
];

fn files() -> Vec<SourceFile> {
    let files = source::read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(files.len() > 5, "the source was not found");
    files
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Returns the modules that a file imports although they are not below its own.
fn upward_imports(file: &SourceFile) -> Vec<String> {
    let named = file.paths(file.code()).into_iter().filter(|path| path[0] == "crate" && path.len() > 1).map(|path| path[1].clone());
    let mut wrong: Vec<String> = named.filter(|module| module != file.top() && layer_of(module) >= layer_of(file.top())).collect();
    wrong.retain(|module| layer_of(module).is_some());
    wrong.dedup();
    wrong
}

#[test]
fn a_module_imports_only_from_lower_layers() {
    for file in files().iter().filter(|file| !file.module.is_empty()) {
        assert!(layer_of(file.top()).is_some(), "{} is in a module that is in no layer", file.path.display());
        assert!(upward_imports(file).is_empty(), "{} imports from a module that is not below it", file.path.display());
    }
    let planted = |path: &str, text: &str| upward_imports(&SourceFile::parse(path, text));
    assert_eq!(planted("wire/lfs.rs", "use crate::store::pages::page_map::Page;"), ["store"]);
    assert_eq!(planted("wire/lfs.rs", "use crate::{model::id::Id, store::pages};"), ["store"]);
    assert_eq!(planted("model/id.rs", "fn f() { crate::wire::lfs::parse(\"crate::cli\") }"), ["wire"]);
    assert!(planted("wire/lfs.rs", "use crate::model::id::Id;\nuse crate::wire::allowed::Target;\n// crate::cli").is_empty());
}

/// Returns the circles between files, and between folders and what lies beside them.
fn import_circles(files: &[SourceFile]) -> Vec<Vec<String>> {
    let between_files = graph::imports_between_files(files);
    let mut found = graph::circles(&between_files);
    found.extend(graph::circles(&graph::imports_between_folders(&between_files)));
    found
}

#[test]
fn no_module_has_a_circle_of_imports_inside() {
    let process_tests = source::read_tree(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/process"));
    let circles = [import_circles(&files()), import_circles(&process_tests)].concat();
    let found: Vec<String> = circles.iter().map(|circle| circle.join("\n    ")).collect();
    assert!(found.is_empty(), "{} circles of imports:\n  {}", found.len(), found.join("\n  "));

    let planted =
        |texts: &[(&str, &str)]| import_circles(&texts.iter().map(|(path, text)| SourceFile::parse(path, text)).collect::<Vec<_>>());
    let two = planted(&[("net/a.rs", "use crate::net::b::B;"), ("net/b.rs", "fn f() { crate::net::a::g() }")]);
    assert_eq!(two, [["net/a.rs", "net/b.rs"]]);
    let through_a_third = planted(&[
        ("net/mod.rs", "pub mod a;\npub mod b;\nuse crate::net::a;"),
        ("net/a.rs", "use super::b::{self, B};"),
        ("net/b.rs", "use crate::net::Root;"),
    ]);
    assert_eq!(through_a_third, [["net/a.rs", "net/b.rs", "net/mod.rs"]]);
    let by_a_module_name = planted(&[("net/a.rs", "use crate::net::c;\nfn f() { c::b::g() }"), ("net/c/b.rs", "use crate::net::a;")]);
    assert_eq!(by_a_module_name, [["net/a.rs", "net/c/b.rs"], ["net/a.rs", "net/c"]]);
    let folders = planted(&[
        ("net/x/a.rs", "use crate::net::y::b::B;"),
        ("net/y/b.rs", ""),
        ("net/y/c.rs", "use crate::net::x::d::D;"),
        ("net/x/d.rs", ""),
    ]);
    assert_eq!(folders, [["net/x", "net/y"]]);
    let none = planted(&[
        ("net/mod.rs", "pub mod a;\npub mod b;"),
        ("net/a.rs", "use crate::net::b::B;"),
        ("net/b.rs", "// crate::net::a\nconst A: &str = \"crate::net::a\";\n#[cfg(test)]\nmod tests {\n    use crate::net::a::A;\n}"),
    ]);
    assert!(none.is_empty(), "{none:?}");
}

/// Returns a crate that a file names although another module owns it.
fn foreign_crate(file: &SourceFile) -> Option<&'static str> {
    let named = file.paths(file.code());
    let owned = OWNED_CRATES.iter().filter(|(owner, _)| *owner != file.top()).flat_map(|(_, crates)| *crates);
    owned.copied().find(|owned| named.iter().any(|path| path[0] == *owned))
}

#[test]
fn each_of_sled_hyper_and_nats_is_named_by_one_module() {
    for file in files() {
        assert_eq!(foreign_crate(&file), None, "{} names a crate that another module owns", file.path.display());
    }
    let planted = |path: &str, text: &str| foreign_crate(&SourceFile::parse(path, text));
    assert_eq!(planted("primary/state.rs", "use sled::Db;"), Some("sled"));
    assert_eq!(planted("api/body.rs", "fn f(body: hyper::body::Incoming) {}"), Some("hyper"));
    assert_eq!(planted("net/client/connector.rs", "use async_nats as nats;"), Some("async_nats"));
    assert_eq!(planted("store/database.rs", "use sled::Db;\nfn hyper() {}"), None);
}

/// Returns what a file of `rules/` names of the world outside: a clock, a task, a file, a socket, a lock.
fn side_effect(file: &SourceFile) -> Option<String> {
    let shared = |name: &str| matches!(name, "Mutex" | "RwLock" | "OnceLock" | "LazyLock") || name.starts_with("Atomic");
    let outside = |path: &[String]| match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tokio" | "nix" | "libc" | "rustix", ..] | ["std", "fs" | "process" | "thread" | "env" | "io", ..] => true,
        ["std" | "core", "net", kind, ..] => !matches!(kind, "IpAddr" | "Ipv4Addr" | "Ipv6Addr"),
        ["std", "net"] | ["crate", "model", "clock", ..] | ["std", "time", "Instant" | "SystemTime", ..] => true,
        _ => path.iter().any(|name| shared(name)),
    };
    let named = file.paths(file.production()).into_iter().find(|path| outside(path)).map(|path| path.join("::"));
    named.or_else(|| source::tokens(file.production()).into_iter().find(|token| matches!(*token, "async" | "await")).map(str::to_owned))
}

#[test]
fn the_rules_are_pure() {
    for file in files().iter().filter(|file| file.top() == "rules") {
        assert_eq!(side_effect(file), None, "{} touches the world", file.path.display());
    }
    let planted = |text: &str| side_effect(&SourceFile::parse("rules/lfs.rs", text));
    for (text, named) in [
        ("use crate::model::clock;", "crate::model::clock"),
        ("use tokio::sync::watch;", "tokio::sync::watch"),
        ("fn f() { std::fs::read(\"x\"); }", "std::fs::read"),
        ("use std::net::{IpAddr, TcpStream};", "std::net::TcpStream"),
        ("use std::sync::Mutex;", "std::sync::Mutex"),
        ("use std::sync::RwLock;", "std::sync::RwLock"),
        ("use std::sync::atomic::AtomicU64;", "std::sync::atomic::AtomicU64"),
        ("use std::time::Instant;", "std::time::Instant"),
        ("async fn f() {}", "async"),
    ] {
        assert_eq!(planted(text).as_deref(), Some(named));
    }
    assert_eq!(planted("use std::net::IpAddr;\nuse std::sync::Arc;\nuse std::time::Duration;"), None);
}

#[test]
#[ignore = "prints the figures of the tree that SIDEGATE_TREE names, or of this one; asserts nothing"]
fn print_figures() {
    let root = std::env::var("SIDEGATE_TREE").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    println!("{}", figures::of_tree(Path::new(&root)));
}
