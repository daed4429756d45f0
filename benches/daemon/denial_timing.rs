//! How long a "no" takes: for a private project, and for one that is not there. An outsider who can tell them apart knows what exists.
//!
//! One connection asks of both, each path twice, in an order that means nothing. `took longer` is the share of pairs in which the first
//! did: a half says nothing. The second line of each place compares missing ones with missing ones: what chance alone makes of it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use crate::generated_directory;
use crate::load::read_response;
use crate::support::env::TestEnv;

const PROJECTS: u64 = 20_000;

pub fn run() {
    let env = TestEnv::running(&generated_directory::directory_text(PROJECTS));
    let token = env.shell_token();
    let send_request = |letter: char| -> Vec<Vec<u8>> {
        let once = (2..=PROJECTS).map(|number| generated_directory::pull_request_bytes(1, &format!("g/{letter}{number}"), &token, false));
        [once.clone(), once].into_iter().flatten().collect()
    };
    let (hidden, missing, others) = (send_request('p'), send_request('q'), send_request('r'));
    for (place, socket) in [("primary", env.primary_socket()), ("sidecar", env.sidecar_socket())] {
        for (name, one) in [("hidden", &hidden), ("missing", &others)] {
            let (one, other) = time_pairs(&socket, one, &missing);
            print_comparison(place, name, &one, &other);
        }
    }
}

/// Nanoseconds of each. Which of a pair goes first is as good as chance.
fn time_pairs(socket: &Path, one: &[Vec<u8>], other: &[Vec<u8>]) -> (Vec<u64>, Vec<u64>) {
    let mut stream = UnixStream::connect(socket).unwrap();
    let mut buffer = vec![0; 16 << 10];
    let mut time_request = |request: &[u8]| {
        let begun = Instant::now();
        stream.write_all(request).unwrap();
        read_response(&mut stream, &mut buffer);
        u64::try_from(begun.elapsed().as_nanos()).unwrap()
    };
    let pairs = one.iter().zip(other).enumerate().map(|(number, (one, other))| {
        if number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 63 == 0 {
            let took = time_request(one);
            (took, time_request(other))
        } else {
            let took = time_request(other);
            (time_request(one), took)
        }
    });
    pairs.unzip()
}

fn print_comparison(place: &str, name: &str, one: &[u64], missing: &[u64]) {
    let longer = one.iter().zip(missing).filter(|(one, missing)| one > missing).count() as f64 / one.len() as f64;
    let ([a50, a90, a99], [b50, b90, b99]) = (percentiles(one), percentiles(missing));
    println!(
        "{place} {name:7} against missing: p50 {a50:.1} / {b50:.1} us = {:.3}, p90 {:.3}, p99 {:.3}; took longer in {longer:.3} of {}",
        a50 / b50,
        a90 / b90,
        a99 / b99,
        one.len()
    );
}

/// p50, p90 and p99 in microseconds.
fn percentiles(took: &[u64]) -> [f64; 3] {
    let mut took = took.to_vec();
    took.sort_unstable();
    [0.5, 0.9, 0.99].map(|share| took[((took.len() - 1) as f64 * share) as usize] as f64 / 1000.0)
}
