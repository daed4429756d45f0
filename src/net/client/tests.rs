//! Tests of the client against a scripted primary: what is sent, how often, on which connection, and what a failure says.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;

use crate::net::body::{BodyError, OutgoingBody, StreamAborted};
use crate::net::client::http_client::HttpClient;
use crate::net::client::request_error::SendLimits;
use crate::net::tests::{LONG, get, post, request_error, response_text};

const SHORT: Duration = Duration::from_millis(150);

/// A primary in a thread, which serves one connection after the other as the script says.
struct ScriptedServer {
    client: HttpClient,
    thread: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn scripted_server(script: impl FnOnce(&UnixListener) + Send + 'static) -> ScriptedServer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let client = client_for(&path);
    let thread = std::thread::spawn(move || script(&listener));
    ScriptedServer { client, thread, _folder: folder }
}

fn client_for(path: &Path) -> HttpClient {
    HttpClient::new(&format!("http+unix://{}", path.display()), None, false).unwrap()
}

fn accept(listener: &UnixListener) -> UnixStream {
    listener.accept().unwrap().0
}

/// Reads one request with a body of a declared length.
fn read_request(stream: &mut UnixStream) -> String {
    let mut received = Vec::new();
    let mut byte = [0];
    while !received.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap() == 0 {
            return String::from_utf8(received).unwrap();
        }
        received.push(byte[0]);
    }
    let head = String::from_utf8(received).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

const OK_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

#[tokio::test]
async fn a_request_over_a_unix_socket_is_sent_as_it_is_with_the_host_unix() {
    let (sender, receiver) = mpsc::channel();
    let primary = scripted_server(move |listener| {
        let mut stream = accept(listener);
        sender.send(read_request(&mut stream)).unwrap();
        stream.write_all(OK_RESPONSE).unwrap();
    });
    let mut request = post("/api/v4/internal/allowed?a=%2Fb", "{\"a\":1}");
    request.headers_mut().insert("x-request-id", "1".parse().unwrap());
    request.headers_mut().insert("host", "elsewhere".parse().unwrap());
    assert_eq!(response_text(&primary.client, request).await, "fine");
    let received = receiver.recv().unwrap();
    assert!(received.starts_with("POST /api/v4/internal/allowed?a=%2Fb HTTP/1.1\r\n"), "{received}");
    assert!(received.contains("\r\nhost: unix\r\n") && !received.contains("elsewhere"), "{received}");
    assert!(received.contains("x-request-id: 1\r\n") && received.ends_with("\r\n\r\n{\"a\":1}"), "{received}");
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_connection_is_reused_once_its_response_was_read() {
    let primary = scripted_server(|listener| {
        let mut stream = accept(listener);
        for _ in 0..3 {
            read_request(&mut stream);
            stream.write_all(OK_RESPONSE).unwrap();
        }
    });
    for _ in 0..2 {
        assert_eq!(response_text(&primary.client, get("/")).await, "fine");
        wait_until_idle(&primary.client).await;
    }
    assert_eq!(response_text(&primary.client, get("/")).await, "fine");
    primary.thread.join().unwrap();
}

/// Waits until a connection is idle.
async fn wait_until_idle(client: &HttpClient) {
    while client.pool.idle.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_does_not_fail_the_next_request() {
    let (sender, receiver) = mpsc::channel();
    let (closed, is_closed) = mpsc::channel();
    let primary = scripted_server(move |listener| {
        let mut first = accept(listener);
        read_request(&mut first);
        first.write_all(OK_RESPONSE).unwrap();
        receiver.recv().unwrap();
        drop(first);
        closed.send(()).unwrap();
        let mut second = accept(listener);
        assert!(read_request(&mut second).ends_with("once"));
        second.write_all(OK_RESPONSE).unwrap();
        assert_eq!(read_request(&mut second), "", "nothing is sent twice");
    });
    response_text(&primary.client, get("/")).await;
    wait_until_idle(&primary.client).await;
    sender.send(()).unwrap();
    is_closed.recv().unwrap();
    assert_eq!(response_text(&primary.client, post("/", "once")).await, "fine");
    let ScriptedServer { client, thread, _folder } = primary;
    drop(client);
    thread.join().unwrap();
}

#[tokio::test]
async fn a_connection_on_which_a_body_was_refused_takes_no_other_request() {
    for refusal in ["413 Payload Too Large", "408 Request Timeout"] {
        let primary = scripted_server(move |listener| {
            let mut first = accept(listener);
            read_request(&mut first);
            first.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
            // It is open still, and would take the next request with it.
            let mut second = accept(listener);
            assert!(read_request(&mut second).ends_with("once"));
            second.write_all(OK_RESPONSE).unwrap();
        });
        response_text(&primary.client, post("/", "large")).await;
        assert_eq!(response_text(&primary.client, post("/", "once")).await, "fine", "{refusal}");
        let ScriptedServer { client, thread, _folder } = primary;
        drop(client);
        thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_request_that_was_written_is_never_sent_again() {
    let primary = scripted_server(|listener| {
        let mut stream = accept(listener);
        read_request(&mut stream);
        stream.write_all(OK_RESPONSE).unwrap();
        // The kept connection takes the second request, and dies of it.
        assert!(read_request(&mut stream).ends_with("write"));
        drop(stream);
        // Whoever comes next is the third request.
        let mut next = accept(listener);
        assert!(read_request(&mut next).starts_with("GET /third"));
        next.write_all(OK_RESPONSE).unwrap();
    });
    response_text(&primary.client, get("/")).await;
    wait_until_idle(&primary.client).await;
    let failed = request_error(&primary.client, post("/", "write"), LONG).await;
    assert!(failed.may_have_reached, "{failed}");
    assert_eq!(response_text(&primary.client, get("/third")).await, "fine");
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_request_that_cannot_connect_has_not_reached_the_primary() {
    let folder = tempfile::tempdir().unwrap();
    let missing = client_for(&folder.path().join("none.sock"));
    let failed = request_error(&missing, post("/", "x"), LONG).await;
    assert!(!failed.may_have_reached && failed.reason.contains("none.sock"), "{failed}");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    drop(tcp);
    let refused = HttpClient::new(&format!("http://{address}"), None, false).unwrap();
    let failed = request_error(&refused, post("/", "x"), LONG).await;
    assert!(!failed.may_have_reached && failed.reason.contains("refused"), "{failed}");
}

#[tokio::test]
async fn a_request_that_has_surely_not_been_sent_is_given_back_as_it_was_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let missing = client_for(&folder.path().join("none.sock"));
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let prefixed = HttpClient::new(&format!("http://{}/gitlab", tcp.local_addr().unwrap()), None, false).unwrap();
    drop(tcp);
    for client in [missing, prefixed] {
        let Err(unanswered) = client.send_or_return(post("/a?b=c", "whole"), SendLimits::total(LONG)).await else {
            panic!("nobody is there")
        };
        let unsent = unanswered.unsent.unwrap();
        assert_eq!(unsent.uri(), "/a?b=c", "without the prefix of that URL");
        let primary = scripted_server(|listener| {
            let mut stream = accept(listener);
            assert!(read_request(&mut stream).ends_with("whole"));
            stream.write_all(OK_RESPONSE).unwrap();
        });
        assert_eq!(response_text(&primary.client, *unsent).await, "fine");
        primary.thread.join().unwrap();
    }
    let primary = scripted_server(|listener| drop(read_request(&mut accept(listener))));
    let Err(unanswered) = primary.client.send_or_return(post("/", "x"), SendLimits::total(LONG)).await else { panic!("nobody answers") };
    assert!(unanswered.error.may_have_reached && unanswered.unsent.is_none());
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn silence_ends_in_time_and_may_have_been_reached() {
    let (done, wait) = mpsc::channel::<()>();
    let primary = scripted_server(move |listener| {
        let _silent = accept(listener);
        let _ = wait.recv();
    });
    let failed = request_error(&primary.client, post("/", "x"), SHORT).await;
    assert!(failed.may_have_reached && failed.reason.contains("within 150ms"), "{failed}");
    drop(done);
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_malformed_response_is_an_error_of_a_request_that_reached_the_primary() {
    for nonsense in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le", ""] {
        let primary = scripted_server(move |listener| {
            let mut stream = accept(listener);
            read_request(&mut stream);
            stream.write_all(nonsense.as_bytes()).unwrap();
        });
        assert!(request_error(&primary.client, post("/", "x"), LONG).await.may_have_reached, "{nonsense:?}");
        primary.thread.join().unwrap();
    }
}

#[tokio::test]
async fn a_response_that_is_cut_off_never_looks_complete() {
    for cut in ["content-length: 5\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let primary = scripted_server(move |listener| {
            let mut stream = accept(listener);
            read_request(&mut stream);
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{cut}").as_bytes()).unwrap();
        });
        let answer = primary.client.send(get("/"), LONG).await.unwrap();
        assert_eq!(answer.into_body().read(100, LONG).await, Err(BodyError::Truncated), "{cut}");
        primary.thread.join().unwrap();
    }
}

#[tokio::test]
async fn the_body_of_a_response_is_bounded_in_bytes_and_time() {
    let (done, wait) = mpsc::channel::<()>();
    let primary = scripted_server(move |listener| {
        for body in ["content-length: 5\r\n\r\n12345", "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n", "content-length: 5\r\n\r\n1"] {
            let mut stream = accept(listener);
            read_request(&mut stream);
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{body}").as_bytes()).unwrap();
            let _ = wait.recv();
        }
    });
    for expected in [BodyError::TooLarge(4), BodyError::TooLarge(4), BodyError::TimedOut] {
        let bytes = if expected == BodyError::TimedOut { 5 } else { 4 };
        let answer = primary.client.send_unpooled(get("/"), LONG).await.unwrap();
        assert_eq!(answer.into_body().read(bytes, SHORT).await, Err(expected));
        done.send(()).unwrap();
    }
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_stream_has_a_connection_of_its_own_and_arrives_in_chunks() {
    let (go, wait) = mpsc::channel();
    let primary = scripted_server(move |listener| {
        let mut stream = accept(listener);
        assert!(read_request(&mut stream).starts_with("GET /changes"));
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na\n\r\n").unwrap();
        let mut other = accept(listener);
        read_request(&mut other);
        other.write_all(OK_RESPONSE).unwrap();
        wait.recv().unwrap();
        stream.write_all(b"2\r\nb\n\r\n0\r\n\r\n").unwrap();
    });
    let mut lines = primary.client.send_unpooled(get("/changes"), LONG).await.unwrap().into_body();
    assert_eq!(lines.next_chunk().await, Some(Ok(Bytes::from("a\n"))));
    assert_eq!(response_text(&primary.client, get("/")).await, "fine");
    go.send(()).unwrap();
    // The stream goes on though its client is gone.
    let ScriptedServer { client, thread, _folder } = primary;
    drop(client);
    assert_eq!(lines.next_chunk().await, Some(Ok(Bytes::from("b\n"))));
    assert_eq!(lines.next_chunk().await, None);
    thread.join().unwrap();
}

#[tokio::test]
async fn a_request_whose_body_is_cut_off_never_looks_complete() {
    let (sender, receiver) = mpsc::channel();
    let primary = scripted_server(move |listener| {
        let mut received = String::new();
        let _ = accept(listener).read_to_string(&mut received);
        sender.send(received).unwrap();
    });
    let (pieces, stream) = tokio::sync::mpsc::channel(2);
    pieces.send(Ok(Bytes::from("half"))).await.unwrap();
    pieces.send(Err(StreamAborted)).await.unwrap();
    let request = http::Request::post("/").body(OutgoingBody::from_channel(stream)).unwrap();
    request_error(&primary.client, request, LONG).await;
    assert!(!receiver.recv().unwrap().contains("0\r\n\r\n"));
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_cancelled_request_closes_its_connection() {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let primary = scripted_server(move |listener| {
        let mut stream = accept(listener);
        read_request(&mut stream);
        sender.send(()).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
    });
    tokio::select! {
        _ = primary.client.send(post("/", "x"), LONG) => panic!("nobody answered"),
        _ = receiver.recv() => {}
    }
    primary.thread.join().unwrap();
}

#[tokio::test]
async fn a_file_without_certificates_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    for file in [empty, folder.path().join("none.pem")] {
        let refused = HttpClient::new("https://localhost", Some(&file), false).err().unwrap();
        assert!(refused.reason.contains(&file.display().to_string()), "{refused}");
    }
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let refused = HttpClient::new("https://root:secret@gitlab.example.com", None, false).err().unwrap();
    assert_eq!(refused.to_string(), "https://…@gitlab.example.com: a name or password in the URL is not used; remove it");
}
