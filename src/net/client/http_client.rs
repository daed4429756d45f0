//! The way to the primary: Unix socket, http or https, with its connections kept.
//!
//! All connections of one client are driven by one thread of their own. So they can be used from every serving thread, outlive each
//! of them, and whether a request had begun to be written when its time was up is known and not guessed: what writes and what counts the
//! time cannot run at once.
//!
//! A request is written once. It goes again only where a kept connection was found closed and not a byte of it had been written.

use std::any::Any;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::model::clock;
use crate::model::time::BootTime;
use crate::net::client::connector::Connector;
use crate::net::client::primary_url::PrimaryUrl;
use crate::net::message::{IncomingBody, OutgoingBody};

/// How a primary is reached. `Clone` shares the connections.
#[derive(Clone)]
pub struct HttpClient {
    pool: Arc<ConnectionPool>,
}

/// Why a URL or its certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct InvalidUrl {
    /// As configured, but for a password in it.
    pub url: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RequestError {
    /// Whether the request may have reached the primary: then the fate of a write is unknown.
    pub may_have_reached: bool,
    /// Whether its time was up; otherwise it could not be sent, or what came was no answer.
    pub timed_out: bool,
    /// For the log, without secrets.
    pub reason: String,
}

/// A connection unused for so long is not used again: the other side may be about to close it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// So many unused connections are kept.
const MAX_IDLE_CONNECTIONS: usize = 64;

impl HttpClient {
    /// `http+unix://` (percent-encoded or plain path), `http://` (loopback, or `insecure_http`), `https://` with the system's roots or
    /// `ca_file`. A path in the URL of http and https is a prefix of every request.
    pub fn new(url: &str, ca_file: Option<&Path>, insecure_http: bool) -> Result<Self, InvalidUrl> {
        let bad = |reason| InvalidUrl { url: redact_password(url), reason };
        let way = PrimaryUrl::parse(url, insecure_http).map_err(bad)?;
        let (host, prefix) = match &way {
            PrimaryUrl::Unix(_) => (HeaderValue::from_static("unix"), String::new()),
            PrimaryUrl::Http { host, prefix, .. } => (host.clone(), prefix.clone()),
        };
        let connector = Connector::new(way, ca_file).map_err(bad)?;
        let home = ConnectionPool::start(connector, host, prefix)
            .map_err(|error| bad(format!("cannot start the thread for its connections: {error}")))?;
        Ok(Self { pool: Arc::new(home) })
    }

    /// Sends one request (its URI in origin form) and waits for the head of the answer; `within` bounds both and the connecting. Never
    /// sends twice, but for a kept connection that was found closed before a byte of the request was written. Dropping the future gives
    /// the request up.
    pub async fn send(&self, request: Request<OutgoingBody>, within: Duration) -> Result<Response<IncomingBody>, RequestError> {
        self.dispatch(request, within, Pooling::Pooled).await
    }

    /// The same on a connection of its own (for the feed: it must not wait behind, or be reused by, anybody).
    pub async fn send_unpooled(&self, request: Request<OutgoingBody>, within: Duration) -> Result<Response<IncomingBody>, RequestError> {
        self.dispatch(request, within, Pooling::Dedicated).await
    }

    async fn dispatch(
        &self,
        mut request: Request<OutgoingBody>,
        within: Duration,
        keeping: Pooling,
    ) -> Result<Response<IncomingBody>, RequestError> {
        self.pool.set_target(&mut request)?;
        let home = Arc::clone(&self.pool);
        let mut carried = AbortOnDrop(self.pool.runtime.spawn(async move { home.execute(request, within, keeping).await }));
        let response = (&mut carried.0).await.unwrap_or_else(|_| {
            Err(RequestError { may_have_reached: true, timed_out: false, reason: "the request was given up".into() })
        })?;
        let driven_by: Arc<dyn Any + Send + Sync> = Arc::clone(&self.pool) as _;
        Ok(response.map(|body| IncomingBody::streaming(body, Some(driven_by))))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Pooled,
    Dedicated,
}

/// A request on its way; given up when dropped.
struct AbortOnDrop(JoinHandle<Result<Response<hyper::body::Incoming>, RequestError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The thread of the connections, and those that are kept. The thread ends when this is dropped.
struct ConnectionPool {
    runtime: Handle,
    _shutdown: oneshot::Sender<()>,
    connector: Connector,
    host_header: HeaderValue,
    path_prefix: String,
    idle: Mutex<Vec<(PooledConnection, BootTime)>>,
}

struct PooledConnection {
    sender: SendRequest<OutgoingBody>,
    /// Bytes written to it so far.
    bytes_written: Arc<AtomicU64>,
}

impl ConnectionPool {
    fn start(connector: Connector, host: HeaderValue, prefix: String) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let thread = runtime.handle().clone();
        std::thread::Builder::new().name("to-primary".into()).spawn(move || {
            let _ = runtime.block_on(ended);
            // Whatever still looks up a name must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: thread, _shutdown: end, connector, host_header: host, path_prefix: prefix, idle: Mutex::default() })
    }

    /// Gives a request the prefix and the host.
    fn set_target(&self, request: &mut Request<OutgoingBody>) -> Result<(), RequestError> {
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if self.path_prefix.is_empty() { target.to_owned() } else { format!("{}{target}", self.path_prefix) };
        *request.uri_mut() =
            Uri::try_from(target).map_err(|error| unsent_error(format!("the path of the request cannot be sent: {error}")))?;
        request.headers_mut().insert(HOST, self.host_header.clone());
        Ok(())
    }

    async fn execute(
        self: Arc<Self>,
        mut request: Request<OutgoingBody>,
        within: Duration,
        keeping: Pooling,
    ) -> Result<Response<hyper::body::Incoming>, RequestError> {
        let until = Instant::now() + within;
        loop {
            let kept = if keeping == Pooling::Pooled { self.idle() } else { None };
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(kept) => kept,
                None => self.connect(until, within).await?,
            };
            let copy = if was_kept { clone_request(&request) } else { None };
            let before = connection.bytes_written.load(Ordering::Relaxed);
            let sent = timeout_at(until, connection.sender.try_send_request(request)).await;
            let reached = connection.bytes_written.load(Ordering::Relaxed) > before;
            let mut error = match sent {
                Ok(Ok(response)) => {
                    if keeping == Pooling::Pooled && !closes_connection(response.status()) {
                        self.return_when_idle(connection);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let reason = format!("no answer from {} within {within:?}", self.connector.display_name());
                    return Err(RequestError { may_have_reached: reached, timed_out: true, reason });
                }
            };
            match error.take_message().or(copy) {
                Some(unsent) if was_kept && !reached => request = unsent,
                _ => {
                    let reason = format!("no answer from {}: {}", self.connector.display_name(), error_chain(error.error()));
                    return Err(RequestError { may_have_reached: reached, timed_out: false, reason });
                }
            }
        }
    }

    async fn connect(&self, until: Instant, within: Duration) -> Result<PooledConnection, RequestError> {
        let name = self.connector.display_name();
        let written = Arc::<AtomicU64>::default();
        let connecting = timeout_at(until, self.connector.connect(Arc::clone(&written))).await;
        let io = connecting
            .map_err(|_| unsent_error(format!("cannot connect to {name} within {within:?}")))?
            .map_err(|error| unsent_error(format!("cannot connect to {name}: {}", error_chain(&*error))))?;
        let (requests, driver) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|error| unsent_error(format!("cannot use the connection to {name}: {error}")))?;
        // Its error is told to whoever has a request on it.
        tokio::spawn(async { drop(driver.await) });
        Ok(PooledConnection { sender: requests, bytes_written: written })
    }

    /// A connection that is open and free.
    fn idle(&self) -> Option<PooledConnection> {
        let now = clock::boot_time();
        let mut kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = kept.pop() {
            if now.since(since) > IDLE_TIMEOUT {
                // Those before it have waited longer.
                kept.clear();
                return None;
            }
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection as soon as the answer on it has been read to its end.
    fn return_when_idle(self: &Arc<Self>, mut connection: PooledConnection) {
        let home: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            if connection.sender.ready().await.is_err() {
                return;
            }
            let Some(home) = home.upgrade() else { return };
            let mut kept = home.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= MAX_IDLE_CONNECTIONS {
                kept.remove(0);
            }
            kept.push((connection, clock::boot_time()));
        });
    }
}

/// Whoever refuses a body unread closes the connection over it, and not all say so.
const fn closes_connection(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
}

fn unsent_error(reason: String) -> RequestError {
    RequestError { may_have_reached: false, timed_out: false, reason }
}

/// The same request once more, if its body is at hand.
fn clone_request(request: &Request<OutgoingBody>) -> Option<Request<OutgoingBody>> {
    let mut copy = Request::new(request.body().try_clone()?);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    Some(copy)
}

/// An error with its causes: hyper's own text says least.
fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = deeper.source();
    }
    text
}

fn redact_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if !url.starts_with("http+unix") && at > scheme => {
            format!("{}…{}", url.get(..scheme + 3).unwrap_or_default(), url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread::JoinHandle;
    use std::time::Duration;

    use bytes::Bytes;
    use http::{Method, StatusCode};

    use super::{HttpClient, RequestError};
    use crate::net::message::{BodyError, IncomingBody, OutgoingBody, Request, Response, StreamAborted};
    use crate::net::server::http_server::{Handler, HttpServer};
    use crate::net::server::limits::ServerLimits;
    use crate::net::server::listen::{self, BoundSocket};

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(150);

    /// A primary played by a thread: it serves connection after connection as the script says.
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
        let playing = std::thread::spawn(move || script(&listener));
        ScriptedServer { client, thread: playing, _folder: folder }
    }

    fn client_for(path: &Path) -> HttpClient {
        HttpClient::new(&format!("http+unix://{}", path.display()), None, false).unwrap()
    }

    fn accept(listener: &UnixListener) -> UnixStream {
        listener.accept().unwrap().0
    }

    /// One request with its body of a declared length.
    fn read_request(stream: &mut UnixStream) -> String {
        let mut heard = Vec::new();
        let mut byte = [0];
        while !heard.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).unwrap() == 0 {
                return String::from_utf8(heard).unwrap();
            }
            heard.push(byte[0]);
        }
        let head = String::from_utf8(heard).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        head + std::str::from_utf8(&body).unwrap()
    }

    const OK_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

    fn get(path: &str) -> http::Request<OutgoingBody> {
        http::Request::get(path).body(OutgoingBody::from_bytes(Bytes::new())).unwrap()
    }

    fn post(path: &str, body: &'static str) -> http::Request<OutgoingBody> {
        http::Request::post(path).body(OutgoingBody::from_bytes(body)).unwrap()
    }

    async fn response_text(client: &HttpClient, request: http::Request<OutgoingBody>) -> String {
        let answer = client.send(request, LONG).await.unwrap();
        String::from_utf8(answer.into_body().read(1 << 20, LONG).await.unwrap().to_vec()).unwrap()
    }

    async fn request_error(client: &HttpClient, request: http::Request<OutgoingBody>, within: Duration) -> RequestError {
        client.send(request, within).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_request_goes_as_it_is_under_the_name_unix() {
        let (tell, told) = mpsc::channel();
        let primary = scripted_server(move |listener| {
            let mut stream = accept(listener);
            tell.send(read_request(&mut stream)).unwrap();
            stream.write_all(OK_RESPONSE).unwrap();
        });
        let mut request = post("/api/v4/internal/allowed?a=%2Fb", "{\"a\":1}");
        request.headers_mut().insert("x-request-id", "1".parse().unwrap());
        request.headers_mut().insert("host", "elsewhere".parse().unwrap());
        assert_eq!(response_text(&primary.client, request).await, "fine");
        let heard = told.recv().unwrap();
        assert!(heard.starts_with("POST /api/v4/internal/allowed?a=%2Fb HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("\r\nhost: unix\r\n") && !heard.contains("elsewhere"), "{heard}");
        assert!(heard.contains("x-request-id: 1\r\n") && heard.ends_with("\r\n\r\n{\"a\":1}"), "{heard}");
        primary.thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_was_read() {
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

    /// Until a connection is kept.
    async fn wait_until_idle(client: &HttpClient) {
        while client.pool.idle.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_costs_nothing() {
        let (tell, told) = mpsc::channel();
        let (closed, is_closed) = mpsc::channel();
        let primary = scripted_server(move |listener| {
            let mut first = accept(listener);
            read_request(&mut first);
            first.write_all(OK_RESPONSE).unwrap();
            told.recv().unwrap();
            drop(first);
            closed.send(()).unwrap();
            let mut second = accept(listener);
            assert!(read_request(&mut second).ends_with("once"));
            second.write_all(OK_RESPONSE).unwrap();
            assert_eq!(read_request(&mut second), "", "nothing is sent twice");
        });
        response_text(&primary.client, get("/")).await;
        wait_until_idle(&primary.client).await;
        tell.send(()).unwrap();
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
    async fn where_nobody_listens_nothing_was_reached() {
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
    async fn what_is_no_answer_is_a_failure_that_reached() {
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
    async fn an_answer_that_is_cut_off_is_not_whole() {
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
    async fn the_body_of_an_answer_has_its_bounds() {
        let (done, wait) = mpsc::channel::<()>();
        let primary = scripted_server(move |listener| {
            for body in ["content-length: 5\r\n\r\n12345", "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n", "content-length: 5\r\n\r\n1"]
            {
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
    async fn a_stream_has_a_connection_of_its_own_and_comes_in_pieces() {
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
        let (tell, told) = mpsc::channel();
        let primary = scripted_server(move |listener| {
            let mut heard = String::new();
            let _ = accept(listener).read_to_string(&mut heard);
            tell.send(heard).unwrap();
        });
        let (pieces, stream) = tokio::sync::mpsc::channel(2);
        pieces.send(Ok(Bytes::from("half"))).await.unwrap();
        pieces.send(Err(StreamAborted)).await.unwrap();
        let request = http::Request::post("/").body(OutgoingBody::from_channel(stream)).unwrap();
        request_error(&primary.client, request, LONG).await;
        assert!(!told.recv().unwrap().contains("0\r\n\r\n"));
        primary.thread.join().unwrap();
    }

    #[tokio::test]
    async fn who_gives_a_request_up_frees_its_connection() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let primary = scripted_server(move |listener| {
            let mut stream = accept(listener);
            read_request(&mut stream);
            tell.send(()).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
        });
        tokio::select! {
            _ = primary.client.send(post("/", "x"), LONG) => panic!("nobody answered"),
            _ = told.recv() => {}
        }
        primary.thread.join().unwrap();
    }

    /// Answers what it was asked.
    struct EchoHandler;

    impl Handler for EchoHandler {
        async fn handle(self: &Arc<Self>, asked: Request) -> Response {
            let host = asked.parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
            let said = format!("{} {} {}", asked.parts.method, asked.parts.uri, host.unwrap_or_default());
            let said = if asked.parts.method == Method::POST { Bytes::from(said) } else { asked.body.read(100, LONG).await.unwrap() };
            Response::json(StatusCode::OK, said)
        }
    }

    struct TlsServer {
        address: std::net::SocketAddr,
        server: HttpServer,
        ca: PathBuf,
        _folder: tempfile::TempDir,
    }

    fn start_tls_server() -> TlsServer {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ca, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&ca, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(listen::load_tls_config(&ca, &key).err().unwrap().reason.contains("0600"), "a key that others can read");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let socket = listen::bind_tcp("127.0.0.1:0".parse().unwrap(), Some(listen::load_tls_config(&ca, &key).unwrap())).unwrap();
        let address = BoundSocket::address(&socket).unwrap();
        let server = HttpServer::start(vec![socket], Arc::new(EchoHandler), ServerLimits::default(), 1, Arc::default()).unwrap();
        TlsServer { address, server, ca, _folder: folder }
    }

    #[tokio::test]
    async fn https_goes_to_whom_the_certificate_names_and_to_nobody_else() {
        let tls = start_tls_server();
        let port = tls.address.port();
        let client = HttpClient::new(&format!("https://localhost:{port}/gitlab/"), Some(&tls.ca), false).unwrap();
        assert_eq!(response_text(&client, post("/api/v4/x?y", "z")).await, format!("POST /gitlab/api/v4/x?y localhost:{port}"));
        let other_name = HttpClient::new(&format!("https://127.0.0.1:{port}"), Some(&tls.ca), false).unwrap();
        assert!(!request_error(&other_name, post("/", "secret"), LONG).await.may_have_reached);
        let plain = HttpClient::new(&format!("http://127.0.0.1:{port}"), None, false).unwrap();
        request_error(&plain, get("/"), LONG).await;
        drop((client, other_name, plain));
        tokio::task::spawn_blocking(|| tls.server.stop()).await.unwrap();
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

    #[test]
    fn many_runtimes_share_the_connections() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let server = HttpServer::start(
            vec![listen::bind_unix(&path, 0o600, None).unwrap()],
            Arc::new(EchoHandler),
            ServerLimits::default(),
            1,
            Arc::default(),
        )
        .unwrap();
        let client = client_for(&path);
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    for number in 0..100 {
                        let body = format!("{number}");
                        let request = http::Request::put("/")
                            .body(OutgoingBody::relay(IncomingBody::from_bytes(body.clone().into()), 100, LONG))
                            .unwrap();
                        assert_eq!(runtime.block_on(response_text(&client, request)), body);
                    }
                })
            })
            .collect();
        for thread in asking {
            thread.join().unwrap();
        }
        server.stop();
    }
}
