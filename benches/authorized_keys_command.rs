//! What sshd pays for one offered key: the whole process of `sidegate-authorized-keys` with a hit, against `/bin/true`.
//!
//! `cargo bench --bench authorized_keys_command -- [PROGRAM] [RUNS]`. The two alternate, so that what else the machine does falls on both.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot start has failed")]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KEY_BLOB: &str = "AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn main() {
    let mut given = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let program = given.next().unwrap_or_else(|| env!("CARGO_BIN_EXE_sidegate-authorized-keys").to_owned());
    let runs: usize = given.next().map_or(2000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("api.sock");
    serve_hits(&socket);

    let (mut helper, mut nothing) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        nothing.push(time_process(&mut Command::new("/bin/true")));
        let mut command = Command::new(&program);
        command.arg("--socket").arg(&socket).args(["git", "git", KEY_BLOB]);
        helper.push(time_process(&mut command));
    }
    let (ours, theirs) = (percentiles(&mut helper), percentiles(&mut nothing));
    println!("{program}: p50 {:?}, p90 {:?}", ours.0, ours.1);
    println!("/bin/true: p50 {:?}, p90 {:?}", theirs.0, theirs.1);
    println!("ratio of p50: {:.2}", ours.0.as_secs_f64() / theirs.0.as_secs_f64());
}

fn serve_hits(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let body = format!(r#"{{"id":11,"key":"ssh-ed25519 {KEY_BLOB} Zoe (git.example)"}}"#);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        let mut request = [0; 4096];
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn time_process(command: &mut Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null()).env_clear();
    let began = Instant::now();
    assert!(command.status().unwrap().success());
    began.elapsed()
}

fn percentiles(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 9 / 10])
}
