//! Tests of the server over real sockets: framing, bounds, time limits, refusals, peers, and an orderly stop.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::Semaphore;

use crate::net::body::{BodyError, OutgoingBody, StreamAborted};
use crate::net::message::{Request, Response};
use crate::net::server::counters::ServerCounters;
use crate::net::server::handler::Handler;
use crate::net::server::http_server::HttpServer;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::{self, BoundSocket};

mod stopping;

/// Answers by the path of the request.
struct TestHandler {
    /// What became of bodies, and when a request is there.
    events: mpsc::Sender<String>,
    /// `/hold` answers with a permit of it.
    releases: Semaphore,
    /// `/block` stops its thread until the test comes here too.
    blocked: Barrier,
}

impl Handler for TestHandler {
    async fn handle(self: &Arc<Self>, request: Request) -> Response {
        match request.parts.uri.path() {
            "/read" => {
                let read = request.body.read(16, Duration::from_millis(200)).await;
                self.events.send(format!("{read:?}")).unwrap();
                match read {
                    Ok(body) => Response::json(StatusCode::OK, body),
                    Err(BodyError::TooLarge(_)) => Response::message(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
                    Err(_) => Response::message(StatusCode::REQUEST_TIMEOUT, "too slow"),
                }
            }
            "/panic" => panic!("on purpose"),
            "/peer" => Response::json(StatusCode::OK, format!("{:?}", request.peer)),
            "/hold" => {
                self.events.send("held".into()).unwrap();
                self.releases.acquire().await.unwrap().forget();
                Response::json(StatusCode::OK, "released")
            }
            "/block" => {
                self.events.send("blocked".into()).unwrap();
                self.blocked.wait();
                Response::json(StatusCode::OK, "unblocked")
            }
            "/stream" | "/broken" => {
                let (pieces, stream) = tokio::sync::mpsc::channel(4);
                pieces.send(Ok(Bytes::from("one "))).await.unwrap();
                pieces.send(Ok(Bytes::from("two"))).await.unwrap();
                if request.parts.uri.path() == "/broken" {
                    pieces.send(Err(StreamAborted)).await.unwrap();
                }
                Response { body: OutgoingBody::from_channel(stream), ..Response::empty(StatusCode::OK) }
            }
            "/pass" => Response { body: OutgoingBody::relay(request.body, 8, Duration::from_secs(60)), ..Response::empty(StatusCode::OK) },
            "/large" => Response::json(StatusCode::OK, vec![b' '; 8 << 20]),
            "/bare" => Response::empty(StatusCode::BAD_REQUEST),
            _ => Response::json(StatusCode::OK, "{}").with_header("x-sidegate-answer", "local"),
        }
    }
}

struct TestServer {
    running: Option<HttpServer>,
    handler: Arc<TestHandler>,
    events: mpsc::Receiver<String>,
    counters: Arc<ServerCounters>,
    path: PathBuf,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

fn start_server(limits: ServerLimits) -> TestServer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let socket = listen::bind_unix(&path, 0o660, None).unwrap();
    start_server_at(socket, path, folder, limits, 2)
}

/// Starts a server with so many threads at this socket, and at one of TCP.
fn start_server_at(socket: BoundSocket, path: PathBuf, folder: tempfile::TempDir, limits: ServerLimits, threads: usize) -> TestServer {
    let sockets = vec![socket, listen::bind_tcp("127.0.0.1:0".parse().unwrap(), None).unwrap()];
    let address = sockets.iter().find_map(BoundSocket::address).unwrap();
    let (event_sender, events) = mpsc::channel();
    let handler = Arc::new(TestHandler { events: event_sender, releases: Semaphore::new(0), blocked: Barrier::new(2) });
    let counters = Arc::<ServerCounters>::default();
    let running = HttpServer::start(sockets, Arc::clone(&handler), limits, threads, Arc::clone(&counters)).unwrap();
    TestServer { running: Some(running), handler, events, counters, path, address, _folder: folder }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.handler.releases.add_permits(1000);
            running.stop();
        }
    }
}

impl TestServer {
    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).unwrap()
    }

    /// All that comes back for these bytes, the write side left open.
    fn exchange(&self, request: &str) -> String {
        exchange(self.connect(), request)
    }
}

fn exchange(mut stream: impl Read + Write, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// One answer with a length, leaving the connection open.
fn request_once(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with("\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "closed after {answer:?}");
        answer.push(char::from(byte[0]));
    }
    let length = answer.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    answer + std::str::from_utf8(&body).unwrap()
}

fn is_error_response(answer: &str, status: u16) -> bool {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let message: serde_json::Value = serde_json::from_str(body).unwrap();
    head.starts_with(&format!("HTTP/1.1 {status} "))
        && head.contains("content-type: application/json")
        && head.contains("connection: close")
        && message.get("message").is_some_and(|message| message.as_str().is_some_and(|text| text.starts_with(&status.to_string())))
}

const KEEP_ALIVE_REQUEST: &str = "GET /ok HTTP/1.1\r\nHost: unix\r\n\r\n";
const CLOSE_REQUEST: &str = "GET /ok HTTP/1.1\r\nHost: unix\r\nConnection: close\r\n\r\n";

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
fn two_requests_in_one_write_are_both_answered() {
    let answer = start_server(ServerLimits::default()).exchange(&format!("{KEEP_ALIVE_REQUEST}{CLOSE_REQUEST}"));
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused() {
    let server = start_server(ServerLimits::default());
    for head in [
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
    ] {
        let answer = server.exchange(&format!("POST /read HTTP/1.1\r\nHost: unix\r\n{head}\r\n\r\n2\r\nok\r\n0\r\n\r\n"));
        assert!(is_error_response(&answer, 400), "{head}: {answer}");
        assert_eq!(answer.matches("content-length").count(), 1, "{head}: {answer}");
    }
    assert_eq!(server.counters.bad_requests.load(Ordering::Relaxed), 7);
    assert!(server.events.try_recv().is_err(), "the handler was called");
}

#[test]
fn only_the_ambiguous_one_of_two_requests_is_refused() {
    let answer = start_server(ServerLimits::default())
        .exchange(&format!("{KEEP_ALIVE_REQUEST}GET /ok HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("HTTP/1.1 400 Bad Request"), "{answer}");
}

#[test]
fn what_is_no_request_gets_a_message() {
    let server = start_server(ServerLimits::default());
    for (bytes, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /ok HTTP/3.0\r\n\r\n".to_owned(), 400),
        ("GET /ok HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        ("POST /ok HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        ("POST /ok HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
    ] {
        assert!(is_error_response(&server.exchange(&bytes), status), "{bytes}");
    }
    let roomy = start_server(ServerLimits { header_bytes: 1 << 20, ..ServerLimits::default() });
    assert!(is_error_response(&roomy.exchange(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 16))), 414));
}

#[test]
fn a_response_of_the_handler_is_sent_unchanged() {
    let answer = request_once(&mut start_server(ServerLimits::default()).connect(), "GET /bare HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn a_head_may_have_so_many_bytes_and_not_one_more() {
    let server = start_server(ServerLimits { header_bytes: 500, ..ServerLimits::default() });
    let head =
        |bytes: usize| format!("{}X: {}\r\n\r\n", &CLOSE_REQUEST[..CLOSE_REQUEST.len() - 2], "y".repeat(bytes - CLOSE_REQUEST.len() - 5));
    assert_eq!(head(500).len(), 500);
    assert!(server.exchange(&head(500)).starts_with("HTTP/1.1 200"));
    assert!(is_error_response(&server.exchange(&head(501)), 431));
    assert!(is_error_response(&server.exchange(&head(100_000)), 431), "a head that is far too long");
}

#[test]
fn a_head_may_have_so_many_fields_and_not_one_more() {
    for headers in [100, 7] {
        let server = start_server(ServerLimits { headers, ..ServerLimits::default() });
        let head = |fields: usize| format!("{}{}\r\n", &CLOSE_REQUEST[..CLOSE_REQUEST.len() - 2], "X: y\r\n".repeat(fields - 2));
        assert!(server.exchange(&head(headers)).starts_with("HTTP/1.1 200"));
        assert!(is_error_response(&server.exchange(&head(headers + 1)), 431));
    }
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
fn a_large_answer_arrives_whole() {
    let server = start_server(ServerLimits::default());
    assert!(server.exchange(&CLOSE_REQUEST.replace("/ok", "/large")).len() > 8 << 20);
}

#[test]
fn a_body_may_have_so_many_bytes_and_not_one_more() {
    let server = start_server(ServerLimits::default());
    let mut stream = server.connect();
    for (body, status) in [("", 200), ("0123456789abcdef", 200), ("0123456789abcdefg", 413)] {
        let answer = request_once(&mut stream, &format!("POST /read HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert!(request_once(&mut stream, KEEP_ALIVE_REQUEST).starts_with("HTTP/1.1 200 "), "a body that is there is passed over");
    let unsent = request_once(&mut stream, "POST /read HTTP/1.1\r\nContent-Length: 17\r\n\r\n01234567");
    assert!(unsent.starts_with("HTTP/1.1 413 ") && unsent.contains("connection: close"), "one that is not ends the connection: {unsent}");
    for (body, status) in [("8\r\n01234567\r\n8\r\n89abcdef\r\n", 200), ("8\r\n01234567\r\n9\r\n89abcdefg\r\n", 413)] {
        let answer = server.exchange(&format!("POST /read HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("connection: close"), "after a chunked body nothing follows");
    }
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let server = start_server(ServerLimits::default());
    let mut stream = server.connect();
    assert!(request_once(&mut stream, "POST /read HTTP/1.1\r\nContent-Length: 5\r\n\r\nhalf").starts_with("HTTP/1.1 408 "));
    assert_eq!(server.events.recv().unwrap(), "Err(TimedOut)");
}

#[test]
fn a_body_that_is_cut_off_is_not_taken_for_whole() {
    let server = start_server(ServerLimits::default());
    for request in ["Content-Length: 5\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut stream = server.connect();
        stream.write_all(format!("POST /read HTTP/1.1\r\n{request}").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        // The handler is told, or is given up with the connection.
        if let Ok(event) = server.events.recv_timeout(Duration::from_millis(500)) {
            assert_eq!(event, "Err(Truncated)");
        }
    }
}

#[test]
fn a_body_that_nobody_read_is_not_taken_for_a_request() {
    let server = start_server(ServerLimits::default());
    let mut stream = server.connect();
    let body = "GET /panic HTTP/1.1\r\n\r\n";
    let answer = request_once(&mut stream, &format!("POST /ok HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert!(answer.ends_with("{}"));
    assert!(request_once(&mut stream, KEEP_ALIVE_REQUEST).ends_with("{}"));
}

#[test]
fn a_refusal_arrives_though_the_body_was_not_read() {
    let server = start_server(ServerLimits::default());
    let mut unix = server.connect();
    let mut tcp = TcpStream::connect(server.address).unwrap();
    let body = vec![b'x'; 4 << 20];
    for stream in [&mut unix as &mut dyn ReadWrite, &mut tcp] {
        stream.write_all(format!("POST /read HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

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

#[test]
fn a_stream_that_is_cut_off_never_looks_complete() {
    let server = start_server(ServerLimits::default());
    let ask = |path: &str, version: &str| server.exchange(&format!("GET /{path} HTTP/{version}\r\nConnection: close\r\n\r\n"));
    assert!(ask("stream", "1.1").ends_with("\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"));
    assert!(!ask("broken", "1.1").contains("0\r\n\r\n"));
    // A client of HTTP/1.0 could not tell.
    assert!(ask("stream", "1.0").contains("505 HTTP Version Not Supported"));
}

#[test]
fn what_is_passed_on_ends_where_its_source_ends() {
    let server = start_server(ServerLimits::default());
    let pass = |framing: &str, body: &str| server.exchange(&format!("POST /pass HTTP/1.1\r\nConnection: close\r\n{framing}\r\n\r\n{body}"));
    let whole = pass("Content-Length: 8", "01234567");
    assert!(whole.contains("content-length: 8\r\n") && whole.ends_with("01234567"), "{whole}");
    assert!(pass("Transfer-Encoding: chunked", "4\r\n0123\r\n0\r\n\r\n").ends_with("4\r\n0123\r\n0\r\n\r\n"));
    assert!(!pass("Transfer-Encoding: chunked", "9\r\n012345678\r\n0\r\n\r\n").ends_with("0\r\n\r\n"), "more than the bound");
    assert!(!pass("Transfer-Encoding: chunked", "4\r\n0123\r\nnonsense").ends_with("0\r\n\r\n"), "broken framing");
}

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
    let run = format!("ulimit -n 64; exec '{}' --ignored --exact net::server::tests::with_few_descriptors", tests.display());
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
