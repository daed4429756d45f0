//! Connections: how long they are kept, how many there may be, and whose they are.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::limits::ServerLimits;
use crate::net::server::tests::{CLOSE_REQUEST, KEEP_ALIVE_REQUEST, exchange, is_error_response, request_once, start_server};

#[test]
fn a_connection_is_kept_until_one_side_closes_it() {
    let server = start_server(ServerLimits::default());
    let mut kept_open = server.connect();
    for _ in 0..3 {
        let answer = request_once(&mut kept_open, KEEP_ALIVE_REQUEST);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-sidegate-answer: local\r\n"), "{answer}");
        assert!(!answer.contains("connection: close"));
    }
    assert!(exchange(kept_open, CLOSE_REQUEST).ends_with("\r\n\r\n{}"));
}

#[test]
fn the_last_request_of_a_connection_is_answered_with_connection_close() {
    let server = start_server(ServerLimits { requests_per_connection: 2, ..ServerLimits::default() });
    let mut stream = server.connect();
    assert!(!request_once(&mut stream, KEEP_ALIVE_REQUEST).contains("connection: close"));
    assert!(exchange(stream, KEEP_ALIVE_REQUEST).contains("connection: close"));
}

#[test]
fn beyond_the_bound_of_connections_only_root_is_let_in() {
    let server = start_server(ServerLimits { connections: 3, connections_for_root: 1, ..ServerLimits::default() });
    let mut kept_open: Vec<_> = (0..2).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    for stream in &mut kept_open {
        request_once(stream, KEEP_ALIVE_REQUEST);
    }
    let refused = exchange(TcpStream::connect(server.address).unwrap(), KEEP_ALIVE_REQUEST);
    assert!(is_error_response(&refused, 503), "{refused}");
    assert_eq!(server.counters.refused_connections.load(Ordering::Relaxed), 1);
    let mut local = server.connect();
    if nix::unistd::Uid::current().is_root() {
        request_once(&mut local, KEEP_ALIVE_REQUEST);
        assert!(is_error_response(&server.exchange(KEEP_ALIVE_REQUEST), 503), "one more than all");
    } else {
        assert!(is_error_response(&exchange(local, KEEP_ALIVE_REQUEST), 503));
    }
    drop(exchange(kept_open.pop().unwrap(), CLOSE_REQUEST));
    while server.counters.open_connections.load(Ordering::Relaxed) > 2 {
        std::thread::yield_now();
    }
}

#[test]
fn a_connection_with_a_slow_head_or_a_long_pause_is_closed() {
    let server = start_server(ServerLimits { header_time: Duration::from_millis(100), ..ServerLimits::default() });
    assert_eq!(server.exchange("GET /ok HTTP/1.1\r\nHost:"), "");
    assert_eq!(server.exchange(""), "");
    assert!(server.exchange(KEEP_ALIVE_REQUEST).ends_with("{}"), "after an answer the connection is not kept for ever");
    assert_eq!(server.counters.early_refusals.count(EarlyRefusal::TooSlow), 2, "a pause after an answer is not refused");
}

#[test]
fn a_handler_may_take_longer_than_a_head() {
    let server = start_server(ServerLimits {
        header_time: Duration::from_millis(40),
        body_time: Duration::from_millis(40),
        ..ServerLimits::default()
    });
    let mut held = server.connect();
    held.write_all(b"GET /hold HTTP/1.1\r\n\r\n").unwrap();
    server.events.recv().unwrap();
    // A second connection is cut for its slow head: the time has surely passed.
    assert_eq!(server.exchange("GET"), "");
    assert_eq!(server.exchange("GET"), "");
    server.handler.releases.add_permits(1);
    assert!(request_once(&mut held, "").ends_with("released"));
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let server = start_server(ServerLimits { body_time: Duration::from_millis(100), ..ServerLimits::default() });
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
    while server.counters.open_connections.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    while server.counters.open_connections.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    let mut received = Vec::new();
    let _ = stream.read_to_end(&mut received);
    assert!(received.len() < 8 << 20);
}

#[test]
fn a_panic_of_a_handler_is_answered_with_500_and_its_thread_lives_on() {
    let server = start_server(ServerLimits::default());
    for _ in 0..4 {
        let mut stream = server.connect();
        let answer = request_once(&mut stream, "GET /panic HTTP/1.1\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"message\""), "{answer}");
        assert!(request_once(&mut stream, KEEP_ALIVE_REQUEST).ends_with("{}"));
    }
}

#[test]
fn the_peer_is_the_one_that_the_kernel_reports() {
    let server = start_server(ServerLimits::default());
    let (uid, gid) = (nix::unistd::Uid::current(), nix::unistd::Gid::current());
    assert!(request_once(&mut server.connect(), "GET /peer HTTP/1.1\r\n\r\n").ends_with(&format!("Unix {{ uid: {uid}, gid: {gid} }}")));
    let mut tcp = TcpStream::connect(server.address).unwrap();
    let from = tcp.local_addr().unwrap();
    assert!(request_once(&mut tcp, "GET /peer HTTP/1.1\r\n\r\n").ends_with(&format!("Tcp({from})")));
}
