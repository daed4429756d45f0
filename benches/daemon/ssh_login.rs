//! A whole login by ssh with many keys behind the sidecar, against an `authorized_keys` file of one line: interleaved pairs.

use std::fs;
use std::io::BufWriter;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::generated_directory;
use crate::support::env::TestEnv;

const PAIRS: usize = 200;

struct BenchSshd {
    child: Child,
    port: u16,
}

impl Drop for BenchSshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn run() {
    if !nix::unistd::Uid::effective().is_root() || !Path::new("/usr/sbin/sshd").exists() {
        return println!("left out: needs root and sshd");
    }
    fs::create_dir_all("/run/sshd").unwrap();
    let count: u64 = std::env::var("SIDEGATE_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let mut env = TestEnv::new();
    let key = generate_key(&env.path().join("user"));
    let host_key = env.path().join("host");
    generate_key(&host_key);
    let file = env.write("many.jsonl", "");
    let mut out = BufWriter::new(fs::File::create(&file).unwrap());
    generated_directory::write_keys_only(count, &mut out);
    let line = serde_json::json!({"kind": "key", "id": count + 1, "user_id": 1, "title": "t", "key": key.trim(), "created_at": "2026-01-01T00:00:00Z"});
    std::io::Write::write_all(&mut out, format!("{line}\n").as_bytes()).unwrap();
    drop(out);
    env.start_primary();
    assert!(env.run_admin(&["apply", file.to_str().unwrap()]).status.success());
    env.start_sidecar();
    env.wait_until_fresh();
    let shell = env.write("shell", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let helper = env.path().join("sidegate-authorized-keys");
    fs::copy(helper_path(), &helper).unwrap();
    let options = "no-port-forwarding,no-X11-forwarding,no-agent-forwarding,no-pty";
    let keys = env.write("keys", &format!("command=\"{} key-1\",{options} {key}", shell.display()));
    let socket = env.sidecar_socket();
    let asks = format!(
        "AuthorizedKeysFile none\nAuthorizedKeysCommandUser root\nAuthorizedKeysCommand {} --socket {} --shell {} root %u %k\n",
        helper.display(),
        socket.display(),
        shell.display()
    );
    let ours = start_sshd(&env, "ours", &host_key, &asks);
    let plain = start_sshd(&env, "plain", &host_key, &format!("AuthorizedKeysFile {}\n", keys.display()));
    let user = env.path().join("user");
    let (mut asked, mut read) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        asked.push(time_login(ours.port, &user));
        read.push(time_login(plain.port, &user));
    }
    asked.sort_unstable();
    read.sort_unstable();
    let (asked, read) = (asked[PAIRS / 2], read[PAIRS / 2]);
    println!(
        "{count} keys, median of {PAIRS} pairs: {asked} us with sidegate, {read} us with a one-line file; {:.3}",
        asked as f64 / read as f64
    );
}

fn time_login(port: u16, key: &Path) -> u128 {
    let begun = Instant::now();
    let status = Command::new("ssh")
        .args(["-F", "none", "-p", &port.to_string(), "-i"])
        .arg(key)
        .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1"])
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    begun.elapsed().as_micros()
}

fn start_sshd(env: &TestEnv, name: &str, host_key: &Path, more: &str) -> BenchSshd {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let config = env.write(
        &format!("sshd-{name}"),
        &format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin forced-commands-only\nStrictModes no\n{more}",
            host_key.display()
        ),
    );
    let child =
        Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f"]).arg(config).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    BenchSshd { child, port }
}

fn generate_key(path: &Path) -> String {
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"]).arg(path).status().unwrap();
    assert!(made.success());
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

/// The helper as it is shipped, if it has been built; else the one of this run.
fn helper_path() -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/x86_64-unknown-linux-musl/helper/sidegate-authorized-keys");
    if shipped.exists() { shipped } else { PathBuf::from(env!("CARGO_BIN_EXE_sidegate-authorized-keys")) }
}
