//! What changes while a server runs: its bounds; and whether its threads are known to answer.

use std::io::Write as _;
use std::sync::mpsc;

use crate::net::server::limits::ServerLimits;
use crate::net::server::listen;
use crate::net::server::tests::{KEEP_ALIVE_REQUEST, exchange, request_once, start_server, start_server_at};

const GET: &str = "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[test]
fn bounds_are_replaced_for_the_connections_that_come_and_not_for_those_that_are_open() {
    let server = start_server(ServerLimits { connections: 1, connections_for_root: 0, ..ServerLimits::default() });
    let mut open = server.connect();
    request_once(&mut open, KEEP_ALIVE_REQUEST);
    assert!(server.exchange(GET).starts_with("HTTP/1.1 503 "), "one is open");
    let running = server.running.as_ref().unwrap();
    running.set_limits(ServerLimits { connections: 8, headers: 16, header_time: std::time::Duration::from_millis(1), ..running.limits() });
    assert_eq!(running.limits().header_time, ServerLimits::default().header_time, "the clock of connections stays");
    // Each thread takes them over by itself.
    assert!((0..10_000).any(|_| server.exchange(GET).starts_with("HTTP/1.1 200 ")));
    let many = format!("GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", "a: b\r\n".repeat(20));
    assert!((0..10_000).any(|_| server.exchange(&many).starts_with("HTTP/1.1 431 ")));
    let answer = exchange(open, &many);
    assert!(answer.starts_with("HTTP/1.1 200 "), "a connection from before keeps its own: {answer}");
}

#[test]
fn a_probe_ends_when_every_thread_answers_and_not_while_one_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let socket = listen::bind_unix(&path, 0o660, None).unwrap();
    let server = start_server_at(socket, path, folder, ServerLimits::default(), 2);
    let prober = server.running.as_ref().unwrap().prober();
    let (ended, ends) = mpsc::channel();
    let probe = || {
        let (prober, ended) = (prober.clone(), ended.clone());
        std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(prober.all_answer());
            ended.send(()).unwrap();
        })
    };
    let first = probe();
    ends.recv().unwrap();
    let mut hanging = server.connect();
    hanging.write_all(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    server.events.recv().unwrap();
    let second = probe();
    assert!(ends.try_recv().is_err(), "one of two hangs");
    server.handler.blocked.wait();
    ends.recv().unwrap();
    [first, second].into_iter().for_each(|thread| thread.join().unwrap());
}
