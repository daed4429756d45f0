//! Look-ups while a whole snapshot is taken, and while a thousand forwards hang, against idle.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::generated_directory;
use crate::load::{ConnectionMode, Measurement, run_load};
use crate::support::env::TestEnv;

const RUN_TIME: Duration = Duration::from_millis(1500);

pub fn run() {
    let count: u64 = std::env::var("SIDEGATE_BUSY_KEYS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let env = TestEnv::running(&generated_directory::directory_text(count));
    let socket = env.sidecar_socket();
    let token = env.shell_token();
    let requests: Vec<Vec<u8>> = (1..=1000).map(|number| generated_directory::lookup_request(number, &token, false)).collect();
    let measured = || run_load(&socket, &requests, ConnectionMode::KeepAlive, 8, RUN_TIME);
    measured();
    let idle = measured().best_of(measured()).best_of(measured());
    print_measurement("idle", idle, idle);
    let resyncs = || env.status()["follower"]["counted"]["resyncs"].as_u64().unwrap_or(0);
    let before = resyncs();
    env.run_sidegate(&["resync", "--socket", socket.to_str().unwrap()]);
    let syncing = measured();
    print_measurement(if resyncs() > before { "resync (it ended within the run)" } else { "resync" }, syncing, idle);
    env.wait_for("the resync", || resyncs() > before);
    env.primary.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGSTOP);
    let hung = open_hanging_requests(&socket, &token, 1000);
    print_measurement("1,000 hung forwards", measured(), idle);
    drop(hung);
    env.primary.as_ref().unwrap().signal(nix::sys::signal::Signal::SIGCONT);
}

fn open_hanging_requests(socket: &Path, token: &str, count: usize) -> Vec<UnixStream> {
    use std::io::Write as _;
    let request = format!(
        "POST /api/v4/internal/pre_receive HTTP/1.1\r\nHost: unix\r\nContent-Type: application/json\r\nContent-Length: 29\r\n\
         Gitlab-Shell-Api-Request: {token}\r\n\r\n{{\"gl_repository\":\"project-1\"}}"
    );
    (0..count)
        .map(|_| {
            let mut stream = UnixStream::connect(socket).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect()
}

fn print_measurement(name: &str, it: Measurement, idle: Measurement) {
    println!(
        "{name:34} {:>9.0} req/s, p50 {:.1} us, p99 {:.1} us; against idle: p50 {:.2}, p99 {:.2}",
        it.requests_per_second,
        it.p50,
        it.p99,
        it.p50 / idle.p50,
        it.p99 / idle.p99
    );
}
