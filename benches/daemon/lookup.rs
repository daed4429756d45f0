//! A look-up at the sidecar against a bare echo of the same sizes, and against nginx that returns the same body.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::generated_directory;
use crate::load::{ConnectionMode, Measurement, best_of_rounds, run_load, start_echo, start_nginx};
use crate::support::env::TestEnv;

const USERS: u64 = 1000;
const RUN_TIME: Duration = Duration::from_millis(700);

pub fn run() {
    let env = TestEnv::running(&generated_directory::directory_text(USERS));
    let socket = env.sidecar_socket();
    println!("{:24} {:>10} {:>9} {:>9} {:>9}", "", "server", "req/s", "p50 us", "p99 us");
    for keeping in [ConnectionMode::KeepAlive, ConnectionMode::PerRequest] {
        let close = keeping == ConnectionMode::PerRequest;
        let token = env.shell_token();
        // One size for all: the echo reads requests of a known size.
        let requests: Vec<Vec<u8>> = (100..=USERS).map(|number| generated_directory::lookup_request(number, &token, close)).collect();
        let sized: Vec<Vec<u8>> = vec![requests[0].clone()];
        let answer = read_response(&socket, &requests[0]);
        let body = String::from_utf8_lossy(&answer[answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4..]).into_owned();
        let bare = start_echo(env.path().join(format!("echo-{keeping:?}.sock")), sized[0].len(), answer, keeping);
        let other = start_nginx(env.path(), &body);
        for connections in [1, 8, 64] {
            let ours = || run_load(&socket, &requests, keeping, connections, RUN_TIME);
            let echoed = || run_load(&bare.path, &sized, keeping, connections, RUN_TIME);
            let mut runs: Vec<&dyn Fn() -> Measurement> = vec![&ours, &echoed];
            let returned = other.as_ref().map(|other| || run_load(&other.path, &sized, keeping, connections, RUN_TIME));
            if let Some(returned) = &returned {
                runs.push(returned);
            }
            let found = best_of_rounds(3, &runs);
            let label = format!("{keeping:?}, {connections} at once");
            for (name, it) in ["sidegate", "echo", "nginx"].iter().zip(&found) {
                println!("{label:24} {name:>10} {:>9.0} {:>9.1} {:>9.1}", it.requests_per_second, it.p50, it.p99);
            }
            println!("{label:24} against echo: p50 {:.2}, p99 {:.2}", found[0].p50 / found[1].p50, found[0].p99 / found[1].p99);
            if let Some(nginx) = found.get(2) {
                println!("{label:24} against nginx: req/s {:.2}", found[0].requests_per_second / nginx.requests_per_second);
            }
        }
    }
}

fn read_response(socket: &std::path::Path, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = vec![0; 16 << 10];
    let length = stream.read(&mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}
