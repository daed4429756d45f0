//! The whole of it measured: real daemons, real sockets, a real sshd, against floors and peers of the same run.
//!
//! `cargo bench --bench daemon -- [lookup] [allowed] [million] [busy] [followers] [hidden] [login]`; without words all of them. Only ratios mean
//! anything, and only within one run.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "a measuring program")]
#![expect(clippy::print_stdout, reason = "it prints what it measures")]
#![allow(dead_code, reason = "what the process tests share with it is more than it needs")]

#[path = "../../tests/process/house.rs"]
mod house;
#[path = "../../tests/process/http.rs"]
mod http;
#[path = "../measure/mod.rs"]
mod measure;

mod allowed;
mod busy;
mod followers;
mod hidden;
mod login;
mod lookup;
mod million;
mod world;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let sections: [(&str, fn()); 7] = [
        ("lookup", lookup::run),
        ("allowed", allowed::run),
        ("million", million::run),
        ("busy", busy::run),
        ("followers", followers::run),
        ("hidden", hidden::run),
        ("login", login::run),
    ];
    for (name, run) in sections {
        if words.is_empty() || words.iter().any(|word| word == name) {
            println!("\n== {name}");
            run();
        }
    }
}
