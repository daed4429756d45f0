//! What the fuzz targets were started with and what they once found, fed to them again without a fuzzer.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn no_corpus_input_panics_a_parser() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let mut files = 0;
        for file in fs::read_dir(corpus.join(name)).unwrap() {
            target(&fs::read(file.unwrap().path()).unwrap());
            files += 1;
        }
        assert!(files > 0, "{name} has no corpus");
    }
}
