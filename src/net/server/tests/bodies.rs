//! Bodies, those that come in and those that go out: bounds, time limits, and that nothing cut off is taken for whole.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::net::server::limits::ServerLimits;
use crate::net::server::tests::{CLOSE_REQUEST, KEEP_ALIVE_REQUEST, request_once, start_server};

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
