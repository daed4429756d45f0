//! The whole of it measured: real daemons, real sockets, a real sshd, against floors and peers of the same run.
//!
//! `cargo bench --bench daemon -- [NAME …]`, each name one module of this folder; without names all of them. Only ratios mean anything, and
//! only within one run.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a measuring program")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it prints what it measures, and what it cannot do on this machine")]

#[path = "../load/mod.rs"]
#[allow(dead_code, reason = "the other measuring program needs more of it")]
mod load;
#[path = "../../tests/process/support/mod.rs"]
#[allow(dead_code, reason = "the process tests need more of it")]
mod support;

mod allowed;
mod denial_timing;
mod generated_directory;
mod kept_answers;
mod large_directory;
mod lookup;
mod lookup_under_load;
mod revocation_propagation;
mod ssh_login;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let sections: [(&str, fn()); 8] = [
        ("lookup", lookup::run),
        ("allowed", allowed::run),
        ("kept_answers", kept_answers::run),
        ("large_directory", large_directory::run),
        ("lookup_under_load", lookup_under_load::run),
        ("revocation_propagation", revocation_propagation::run),
        ("denial_timing", denial_timing::run),
        ("ssh_login", ssh_login::run),
    ];
    for (name, run) in sections {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("\n== {name}");
            run();
        }
    }
}
