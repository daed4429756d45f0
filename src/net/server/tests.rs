//! Tests of the server over real sockets. Here is the server that they are about, with a handler that does what the path says.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
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

mod bodies;
mod connections;
mod requests;
mod running;
mod sockets;
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
