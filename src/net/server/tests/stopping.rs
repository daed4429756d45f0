//! How a server stops: whoever has connected is answered, by it or by the next one, and nobody holds it up for long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::net::server::limits::ServerLimits;
use crate::net::server::listen;
use crate::net::server::tests::{KEEP_ALIVE_REQUEST, TestServer, exchange, request_once, start_server, start_server_at};
use crate::net::server::worker::WorkerCommand;

/// A server with one thread, at a socket that it made itself.
fn start_with_one_thread(limits: ServerLimits) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    start_server_at(listen::bind_unix(&path, 0o660, None).unwrap(), path, folder, limits, 1)
}

/// The same at a socket that it was handed.
fn start_at_inherited_socket(listener: &UnixListener, limits: ServerLimits) -> TestServer {
    let socket = listen::adopt(listener.try_clone().unwrap().into(), "the test's").unwrap();
    start_server_at(socket, listener.local_addr().unwrap().as_pathname().unwrap().to_owned(), tempfile::tempdir().unwrap(), limits, 1)
}

impl TestServer {
    /// Stops it from another thread, and returns when its threads have been told.
    fn begin_stop(&mut self) -> JoinHandle<()> {
        let running = self.running.take().unwrap();
        let commands = running.commands.subscribe();
        let stopping = std::thread::spawn(move || running.stop());
        while *commands.borrow() != WorkerCommand::Stop {
            std::thread::yield_now();
        }
        stopping
    }

    /// The same, and returns when the only thread has closed what was idle.
    fn begin_stop_and_drain(&mut self) -> JoinHandle<()> {
        let mut idle = self.connect();
        request_once(&mut idle, KEEP_ALIVE_REQUEST);
        let stopping = self.begin_stop();
        assert_eq!(idle.read(&mut [0]).unwrap(), 0, "what is idle is closed");
        stopping
    }

    /// Stops the only thread of the server within a request, runs `meanwhile`, and tells the server to stop before the thread goes on.
    fn stop_while_blocked(&mut self, meanwhile: impl FnOnce()) -> JoinHandle<()> {
        let mut blocking = self.connect();
        blocking.write_all(b"GET /block HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(self.events.recv().unwrap(), "blocked");
        meanwhile();
        let stopping = self.begin_stop();
        self.handler.blocked.wait();
        assert!(read_until_closed(blocking).ends_with("unblocked"));
        stopping
    }

    fn wait_for_connections(&self, count: u64) {
        while self.counters.open_connections.load(Ordering::Relaxed) != count {
            std::thread::yield_now();
        }
    }
}

fn read_until_closed(mut stream: impl Read) -> String {
    let mut received = String::new();
    let _ = stream.read_to_string(&mut received);
    received
}

fn is_last_answer(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n") && answer.ends_with("{}")
}

#[test]
fn a_stop_lets_what_is_in_flight_end_and_removes_the_socket() {
    let mut server = start_with_one_thread(ServerLimits::default());
    let mut held = server.connect();
    held.write_all(b"GET /hold HTTP/1.1\r\n\r\n").unwrap();
    server.events.recv().unwrap();
    let stopping = server.begin_stop_and_drain();
    server.handler.releases.add_permits(1);
    let answer = read_until_closed(held);
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("released"), "{answer}");
    stopping.join().unwrap();
    assert!(!server.path.exists());
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn a_stop_waits_only_so_long() {
    let mut server = start_server(ServerLimits { shutdown_time: Duration::from_millis(50), ..ServerLimits::default() });
    let mut held = server.connect();
    held.write_all(b"GET /hold HTTP/1.1\r\n\r\n").unwrap();
    server.events.recv().unwrap();
    server.running.take().unwrap().stop();
    assert_eq!(read_until_closed(held), "");
}

#[test]
fn a_request_that_has_arrived_and_was_not_read_is_answered_at_a_stop() {
    for kept in [false, true] {
        let mut server = start_with_one_thread(ServerLimits::default());
        let (mut unix, mut tcp) = (server.connect(), TcpStream::connect(server.address).unwrap());
        if kept {
            request_once(&mut unix, KEEP_ALIVE_REQUEST);
            request_once(&mut tcp, KEEP_ALIVE_REQUEST);
        }
        server.wait_for_connections(2);
        let stopping = server.stop_while_blocked(|| {
            unix.write_all(KEEP_ALIVE_REQUEST.as_bytes()).unwrap();
            tcp.write_all(KEEP_ALIVE_REQUEST.as_bytes()).unwrap();
        });
        for answer in [read_until_closed(unix), read_until_closed(tcp)] {
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{}"), "kept: {kept}: {answer}");
        }
        stopping.join().unwrap();
    }
}

#[test]
fn a_client_that_has_connected_may_send_its_request_after_the_stop() {
    let mut server = start_with_one_thread(ServerLimits::default());
    let (unix, tcp) = (server.connect(), TcpStream::connect(server.address).unwrap());
    server.wait_for_connections(2);
    let stopping = server.stop_while_blocked(|| {});
    for answer in [exchange(unix, KEEP_ALIVE_REQUEST), exchange(tcp, KEEP_ALIVE_REQUEST)] {
        assert!(is_last_answer(&answer), "{answer}");
    }
    stopping.join().unwrap();
}

#[test]
fn a_client_that_has_connected_and_sends_nothing_does_not_hold_up_a_stop() {
    let hour = Duration::from_secs(3600);
    let mut server = start_with_one_thread(ServerLimits { header_time: hour, shutdown_time: hour, ..ServerLimits::default() });
    let silent = server.connect();
    server.wait_for_connections(1);
    server.begin_stop().join().unwrap();
    assert_eq!(read_until_closed(silent), "");
}

#[test]
fn the_queue_of_a_socket_that_ends_with_the_server_is_answered_at_a_stop() {
    let mut server = start_with_one_thread(ServerLimits::default());
    let mut clients = Vec::new();
    let (path, address) = (server.path.clone(), server.address);
    let stopping = server.stop_while_blocked(|| {
        for _ in 0..20 {
            clients.push((UnixStream::connect(&path).unwrap(), TcpStream::connect(address).unwrap()));
        }
    });
    for (unix, tcp) in &mut clients {
        unix.write_all(KEEP_ALIVE_REQUEST.as_bytes()).unwrap();
        tcp.write_all(KEEP_ALIVE_REQUEST.as_bytes()).unwrap();
    }
    for (unix, tcp) in clients {
        for answer in [read_until_closed(unix), read_until_closed(tcp)] {
            assert!(is_last_answer(&answer), "{answer}");
        }
    }
    stopping.join().unwrap();
    assert!(!server.path.exists());
}

#[test]
fn the_queue_of_a_socket_that_was_handed_over_is_left_to_the_next_process() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
    let mut first = start_at_inherited_socket(&listener, ServerLimits::default());
    let mut clients = Vec::new();
    let path = first.path.clone();
    let stopping = first.stop_while_blocked(|| {
        for _ in 0..20 {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(KEEP_ALIVE_REQUEST.as_bytes()).unwrap();
            clients.push(client);
        }
    });
    stopping.join().unwrap();
    assert_eq!(first.counters.connections.load(Ordering::Relaxed), 1, "the queue was accepted from");
    let next = start_at_inherited_socket(&listener, ServerLimits::default());
    for mut client in clients {
        assert!(request_once(&mut client, "").ends_with("{}"));
    }
    assert_eq!(next.counters.connections.load(Ordering::Relaxed), 20);
}

#[test]
fn while_a_request_takes_long_to_end_the_queue_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
    let limits = ServerLimits { shutdown_time: Duration::from_secs(3600), ..ServerLimits::default() };
    for mut server in [start_at_inherited_socket(&listener, limits), start_with_one_thread(limits)] {
        let mut held = server.connect();
        held.write_all(b"GET /hold HTTP/1.1\r\n\r\n").unwrap();
        server.events.recv().unwrap();
        let stopping = server.begin_stop_and_drain();
        for _ in 0..3 {
            let answer = server.exchange(KEEP_ALIVE_REQUEST);
            assert!(is_last_answer(&answer), "{answer}");
        }
        server.handler.releases.add_permits(1);
        assert!(read_until_closed(held).ends_with("released"));
        stopping.join().unwrap();
    }
}

#[test]
fn a_refusal_arrives_at_a_stop_too() {
    let mut server = start_with_one_thread(ServerLimits::default());
    let mut refused = TcpStream::connect(server.address).unwrap();
    let body = vec![b'x'; 4 << 20];
    let mut sender = refused.try_clone().unwrap();
    refused.write_all(format!("POST /hold HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
    server.events.recv().unwrap();
    let stopping = server.begin_stop_and_drain();
    server.handler.releases.add_permits(1);
    let sending = std::thread::spawn(move || sender.write_all(&body));
    assert!(read_until_closed(refused).ends_with("released"));
    sending.join().unwrap().unwrap();
    stopping.join().unwrap();
}
