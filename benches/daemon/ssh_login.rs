//! A whole login by ssh with many keys behind the sidecar, against an `authorized_keys` file of one line: interleaved pairs.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::generated_directory;
use crate::support::env::TestEnv;
use crate::support::generated_directory::key_line;
use crate::support::sshd::{KeyPair, Sshd, ask_helper, forced_command};

const PAIRS: usize = 200;

pub fn run() {
    let count: u64 = std::env::var("SIDEGATE_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut env = TestEnv::new();
    let shell = forced_command(&env, "exit 0");
    let helper = env.path().join("shipped-authorized-keys");
    fs::copy(helper_path(), &helper).unwrap();
    let Some(with_sidegate) = Sshd::start_with(&env, "with_sidegate", &ask_helper(&env, &helper, &shell)) else { return };
    let pair = KeyPair::generate(&env, "user", "ed25519");
    let options = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty";
    let keys = env.write("keys", &format!("command=\"{} key-1\",{options} {}\n", shell.display(), pair.public_line));
    let plain = format!("StrictModes no\nAuthorizedKeysFile {}\n", keys.display());
    let Some(with_file) = Sshd::start_with(&env, "with_file", &plain) else { return };

    let file = env.write("many.jsonl", "");
    let mut out = BufWriter::new(fs::File::create(&file).unwrap());
    generated_directory::write_keys_only(count, &mut out);
    out.write_all(key_line(count + 1, 1, &pair.public_line).as_bytes()).unwrap();
    drop(out);
    env.start_primary();
    assert!(env.run_admin(&["apply", file.to_str().unwrap()]).status.success());
    env.start_sidecar();
    env.wait_until_fresh();

    let (mut request, mut read) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        request.push(time_login(&with_sidegate, &pair));
        read.push(time_login(&with_file, &pair));
    }
    request.sort_unstable();
    read.sort_unstable();
    let (request, read) = (request[PAIRS / 2], read[PAIRS / 2]);
    println!(
        "{count} keys, median of {PAIRS} pairs: {request} us with sidegate, {read} us with a one-line file; {:.3}",
        request as f64 / read as f64
    );
}

fn time_login(sshd: &Sshd, pair: &KeyPair) -> u128 {
    let begun = Instant::now();
    assert!(sshd.login(&[pair]).is_some());
    begun.elapsed().as_micros()
}

/// The helper as it is shipped, if it has been built; else the one of this run.
fn helper_path() -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/x86_64-unknown-linux-musl/helper/sidegate-authorized-keys");
    if shipped.exists() { shipped } else { PathBuf::from(env!("CARGO_BIN_EXE_sidegate-authorized-keys")) }
}
