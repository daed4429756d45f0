//! What is a request, and what is refused: framing, and the bounds of a head.

use std::sync::atomic::Ordering;

use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::limits::ServerLimits;
use crate::net::server::tests::{CLOSE_REQUEST, KEEP_ALIVE_REQUEST, is_error_response, request_once, start_server};

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
    assert_eq!(server.counters.early_refusals.count(EarlyRefusal::AmbiguousFraming), 7);
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
