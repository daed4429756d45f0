//! Accepting: without descriptors, and at sockets whose files vanish or are replaced.

use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use crate::net::server::limits::ServerLimits;
use crate::net::server::tests::{KEEP_ALIVE_REQUEST, exchange, request_once, start_server};

/// Runs in a process of its own, started by the test after it: descriptors are the whole process's.
#[test]
#[ignore = "started by accepting_survives_a_lack_of_descriptors"]
fn with_few_descriptors() {
    let server = start_server(ServerLimits::default());
    let mut descriptors: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    descriptors.pop();
    let mut stream = server.connect();
    while server.counters.accept_errors.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    drop(descriptors);
    assert!(request_once(&mut stream, KEEP_ALIVE_REQUEST).ends_with("{}"));
}

#[test]
fn accepting_survives_a_lack_of_descriptors() {
    let tests = std::env::current_exe().unwrap();
    let run = format!("ulimit -n 64; exec '{}' --ignored --exact net::server::tests::sockets::with_few_descriptors", tests.display());
    let output = std::process::Command::new("sh").args(["-c", &run]).output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}

/// Connects again and again until the daemon answers at its path.
fn exchange_when_it_is_there(path: &std::path::Path, request: &str) -> String {
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return exchange(stream, request),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_socket_whose_file_vanishes_or_is_a_dead_one_is_made_again_and_serves() {
    let server = start_server(ServerLimits::default());
    let request = "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut kept = server.connect();
    request_once(&mut kept, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    std::fs::remove_file(&server.path).unwrap();
    assert!(exchange_when_it_is_there(&server.path, request).starts_with("HTTP/1.1 200"));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&server.path).unwrap().permissions()) & 0o7777, 0o660);
    std::fs::remove_file(&server.path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&server.path).unwrap());
    assert!(exchange_when_it_is_there(&server.path, request).starts_with("HTTP/1.1 200"));
    while server.counters.sockets.remade() < 2 {
        std::thread::yield_now();
    }
    assert!(server.counters.sockets.lost().is_empty());
    assert!(request_once(&mut kept, request).starts_with("HTTP/1.1 200"), "connections that were open stay open");
    assert!(exchange(server.connect(), request).starts_with("HTTP/1.1 200"));
}

#[test]
fn a_socket_that_another_process_serves_in_its_place_is_left_alone_and_alarmed() {
    let server = start_server(ServerLimits::default());
    std::fs::remove_file(&server.path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&server.path).unwrap();
    while server.counters.sockets.lost().is_empty() {
        std::thread::yield_now();
    }
    let (path, lost) = server.counters.sockets.lost().remove(0);
    assert_eq!(path, server.path);
    assert!(
        lost.message.contains("replaced by another file") && lost.message.contains("another process listens there"),
        "{}",
        lost.message
    );
    drop(other);
    while server.counters.sockets.remade() == 0 {
        std::thread::yield_now();
    }
    assert!(server.counters.sockets.lost().is_empty());
}
