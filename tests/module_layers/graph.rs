//! Which file names which, and the circles among them.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::SourceFile;

/// From a name to the names that it imports.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// Returns which production file imports which other one of the same top-level module. A `mod.rs` is the door of its folder: that it
/// declares the files beside it counts for nothing, what it imports counts.
pub fn imports_between_files(files: &[SourceFile]) -> Graph {
    let by_module: BTreeMap<&[String], &SourceFile> = files.iter().map(|file| (file.module.as_slice(), file)).collect();
    let mut graph = Graph::new();
    for file in files.iter().filter(|file| !file.is_test() && !file.module.is_empty()) {
        let imported = graph.entry(file.path.display().to_string()).or_default();
        for path in file.paths(file.production()) {
            let Some(("crate", within)) = path.split_first().map(|(head, rest)| (head.as_str(), rest)) else { continue };
            let target = (1..=within.len()).rev().find_map(|length| by_module.get(&within[..length]));
            if let Some(target) = target.filter(|target| target.top() == file.top() && target.path != file.path && !target.is_test()) {
                imported.insert(target.path.display().to_string());
            }
        }
    }
    graph
}

/// Returns which folder imports which other folder or file that lies beside it, and which file imports which folder, at every depth.
pub fn imports_between_folders(between_files: &Graph) -> Graph {
    let mut graph = Graph::new();
    for (file, imported) in between_files {
        for target in imported {
            let (from, to): (Vec<_>, Vec<_>) = (file.split('/').collect(), target.split('/').collect());
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if from.len() > shared + 1 || to.len() > shared + 1 {
                graph.entry(from[..=shared].join("/")).or_default().insert(to[..=shared].join("/"));
            }
        }
    }
    graph
}

/// Returns every circle: each greatest set of names that reach each other, sorted.
pub fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> = graph.keys().map(|from| (from, reachable(graph, from))).collect();
    let mut found = BTreeSet::new();
    for (from, reach) in &reached {
        let together: Vec<String> =
            reach.iter().filter(|to| reached.get(**to).is_some_and(|back| back.contains(*from))).map(|to| (*to).clone()).collect();
        if together.len() > 1 {
            found.insert(together);
        }
    }
    found.into_iter().collect()
}

fn reachable<'a>(graph: &'a Graph, from: &'a String) -> BTreeSet<&'a String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(name) = open.pop() {
        for next in graph.get(name).into_iter().flatten() {
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    seen
}
