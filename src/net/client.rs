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
use crate::net::connect::Connector;
use crate::net::message::{Incoming, Outgoing};
use crate::net::way::Way;

/// How a primary is reached. `Clone` shares the connections.
#[derive(Clone)]
pub struct Client {
    home: Arc<Home>,
}

/// Why a URL or its certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct BadUrl {
    /// As configured, but for a password in it.
    pub url: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failed {
    /// Whether the request may have reached the primary: then the fate of a write is unknown.
    pub reached: bool,
    /// Whether its time was up; otherwise it could not be sent, or what came was no answer.
    pub overran: bool,
    /// For the log, without secrets.
    pub reason: String,
}

/// A connection unused for so long is not used again: the other side may be about to close it.
const KEPT_FOR: Duration = Duration::from_secs(4);
/// So many unused connections are kept.
const KEPT: usize = 64;

impl Client {
    /// `http+unix://` (percent-encoded or plain path), `http://` (loopback, or `insecure_http`), `https://` with the system's roots or
    /// `ca_file`. A path in the URL of http and https is a prefix of every request.
    pub fn to(url: &str, ca_file: Option<&Path>, insecure_http: bool) -> Result<Self, BadUrl> {
        let bad = |reason| BadUrl { url: without_password(url), reason };
        let way = Way::parse(url, insecure_http).map_err(bad)?;
        let (host, prefix) = match &way {
            Way::Socket(_) => (HeaderValue::from_static("unix"), String::new()),
            Way::Web { host, prefix, .. } => (host.clone(), prefix.clone()),
        };
        let connector = Connector::new(way, ca_file).map_err(bad)?;
        let home =
            Home::start(connector, host, prefix).map_err(|error| bad(format!("cannot start the thread for its connections: {error}")))?;
        Ok(Self { home: Arc::new(home) })
    }

    /// Sends one request (its URI in origin form) and waits for the head of the answer; `within` bounds both and the connecting. Never
    /// sends twice, but for a kept connection that was found closed before a byte of the request was written. Dropping the future gives
    /// the request up.
    pub async fn send(&self, request: Request<Outgoing>, within: Duration) -> Result<Response<Incoming>, Failed> {
        self.carry(request, within, Keeping::Shared).await
    }

    /// The same on a connection of its own (for the feed: it must not wait behind, or be reused by, anybody).
    pub async fn send_alone(&self, request: Request<Outgoing>, within: Duration) -> Result<Response<Incoming>, Failed> {
        self.carry(request, within, Keeping::Alone).await
    }

    async fn carry(&self, mut request: Request<Outgoing>, within: Duration, keeping: Keeping) -> Result<Response<Incoming>, Failed> {
        self.home.address(&mut request)?;
        let home = Arc::clone(&self.home);
        let mut carried = Carried(self.home.thread.spawn(async move { home.carry(request, within, keeping).await }));
        let response = (&mut carried.0)
            .await
            .unwrap_or_else(|_| Err(Failed { reached: true, overran: false, reason: "the request was given up".into() }))?;
        let driven_by: Arc<dyn Any + Send + Sync> = Arc::clone(&self.home) as _;
        Ok(response.map(|body| Incoming::arriving(body, Some(driven_by))))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Shared,
    Alone,
}

/// A request on its way; given up when dropped.
struct Carried(JoinHandle<Result<Response<hyper::body::Incoming>, Failed>>);

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The thread of the connections, and those that are kept. The thread ends when this is dropped.
struct Home {
    thread: Handle,
    _end: oneshot::Sender<()>,
    connector: Connector,
    host: HeaderValue,
    prefix: String,
    kept: Mutex<Vec<(Connection, BootTime)>>,
}

struct Connection {
    requests: SendRequest<Outgoing>,
    /// Bytes written to it so far.
    written: Arc<AtomicU64>,
}

impl Home {
    fn start(connector: Connector, host: HeaderValue, prefix: String) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let thread = runtime.handle().clone();
        std::thread::Builder::new().name("to-primary".into()).spawn(move || {
            let _ = runtime.block_on(ended);
            // Whatever still looks up a name must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { thread, _end: end, connector, host, prefix, kept: Mutex::default() })
    }

    /// Gives a request the prefix and the host.
    fn address(&self, request: &mut Request<Outgoing>) -> Result<(), Failed> {
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if self.prefix.is_empty() { target.to_owned() } else { format!("{}{target}", self.prefix) };
        *request.uri_mut() = Uri::try_from(target).map_err(|error| unsent(format!("the path of the request cannot be sent: {error}")))?;
        request.headers_mut().insert(HOST, self.host.clone());
        Ok(())
    }

    async fn carry(
        self: Arc<Self>,
        mut request: Request<Outgoing>,
        within: Duration,
        keeping: Keeping,
    ) -> Result<Response<hyper::body::Incoming>, Failed> {
        let until = Instant::now() + within;
        loop {
            let kept = if keeping == Keeping::Shared { self.kept() } else { None };
            let was_kept = kept.is_some();
            let mut connection = match kept {
                Some(kept) => kept,
                None => self.connect(until, within).await?,
            };
            let copy = if was_kept { copy(&request) } else { None };
            let before = connection.written.load(Ordering::Relaxed);
            let sent = timeout_at(until, connection.requests.try_send_request(request)).await;
            let reached = connection.written.load(Ordering::Relaxed) > before;
            let mut error = match sent {
                Ok(Ok(response)) => {
                    if keeping == Keeping::Shared && !is_about_to_close(response.status()) {
                        self.keep_when_free(connection);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let reason = format!("no answer from {} within {within:?}", self.connector.name());
                    return Err(Failed { reached, overran: true, reason });
                }
            };
            match error.take_message().or(copy) {
                Some(unsent) if was_kept && !reached => request = unsent,
                _ => {
                    let reason = format!("no answer from {}: {}", self.connector.name(), chain(error.error()));
                    return Err(Failed { reached, overran: false, reason });
                }
            }
        }
    }

    async fn connect(&self, until: Instant, within: Duration) -> Result<Connection, Failed> {
        let name = self.connector.name();
        let written = Arc::<AtomicU64>::default();
        let connecting = timeout_at(until, self.connector.connect(Arc::clone(&written))).await;
        let io = connecting
            .map_err(|_| unsent(format!("cannot connect to {name} within {within:?}")))?
            .map_err(|error| unsent(format!("cannot connect to {name}: {}", chain(&*error))))?;
        let (requests, driver) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|error| unsent(format!("cannot use the connection to {name}: {error}")))?;
        // Its error is told to whoever has a request on it.
        tokio::spawn(async { drop(driver.await) });
        Ok(Connection { requests, written })
    }

    /// A connection that is open and free.
    fn kept(&self) -> Option<Connection> {
        let now = clock::boot();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = kept.pop() {
            if now.since(since) > KEPT_FOR {
                // Those before it have waited longer.
                kept.clear();
                return None;
            }
            if connection.requests.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection as soon as the answer on it has been read to its end.
    fn keep_when_free(self: &Arc<Self>, mut connection: Connection) {
        let home: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            if connection.requests.ready().await.is_err() {
                return;
            }
            let Some(home) = home.upgrade() else { return };
            let mut kept = home.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push((connection, clock::boot()));
        });
    }
}

/// Whoever refuses a body unread closes the connection over it, and not all say so.
const fn is_about_to_close(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
}

fn unsent(reason: String) -> Failed {
    Failed { reached: false, overran: false, reason }
}

/// The same request once more, if its body is at hand.
fn copy(request: &Request<Outgoing>) -> Option<Request<Outgoing>> {
    let mut copy = Request::new(request.body().again()?);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    Some(copy)
}

/// An error with its causes: hyper's own text says least.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
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

fn without_password(url: &str) -> String {
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
    use http::{Method, Request, StatusCode};

    use super::{Client, Failed};
    use crate::net::bounds::Bounds;
    use crate::net::listen::{self, Listening};
    use crate::net::message::{Asked, BodyRefused, CutOff, Incoming, Outgoing, Reply};
    use crate::net::server::{Answer, Server};

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(150);

    /// A primary played by a thread: it serves connection after connection as the script says.
    struct Primary {
        client: Client,
        playing: JoinHandle<()>,
        _folder: tempfile::TempDir,
    }

    fn primary(script: impl FnOnce(&UnixListener) + Send + 'static) -> Primary {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let client = to(&path);
        let playing = std::thread::spawn(move || script(&listener));
        Primary { client, playing, _folder: folder }
    }

    fn to(path: &Path) -> Client {
        Client::to(&format!("http+unix://{}", path.display()), None, false).unwrap()
    }

    fn accept(listener: &UnixListener) -> UnixStream {
        listener.accept().unwrap().0
    }

    /// One request with its body of a declared length.
    fn hear(stream: &mut UnixStream) -> String {
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

    const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";

    fn get(path: &str) -> Request<Outgoing> {
        Request::get(path).body(Outgoing::of(Bytes::new())).unwrap()
    }

    fn post(path: &str, body: &'static str) -> Request<Outgoing> {
        Request::post(path).body(Outgoing::of(body)).unwrap()
    }

    async fn text(client: &Client, request: Request<Outgoing>) -> String {
        let answer = client.send(request, LONG).await.unwrap();
        String::from_utf8(answer.into_body().read(1 << 20, LONG).await.unwrap().to_vec()).unwrap()
    }

    async fn failure(client: &Client, request: Request<Outgoing>, within: Duration) -> Failed {
        client.send(request, within).await.err().unwrap()
    }

    #[tokio::test]
    async fn a_request_goes_as_it_is_under_the_name_unix() {
        let (tell, told) = mpsc::channel();
        let primary = primary(move |listener| {
            let mut stream = accept(listener);
            tell.send(hear(&mut stream)).unwrap();
            stream.write_all(FINE).unwrap();
        });
        let mut request = post("/api/v4/internal/allowed?a=%2Fb", "{\"a\":1}");
        request.headers_mut().insert("x-request-id", "1".parse().unwrap());
        request.headers_mut().insert("host", "elsewhere".parse().unwrap());
        assert_eq!(text(&primary.client, request).await, "fine");
        let heard = told.recv().unwrap();
        assert!(heard.starts_with("POST /api/v4/internal/allowed?a=%2Fb HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("\r\nhost: unix\r\n") && !heard.contains("elsewhere"), "{heard}");
        assert!(heard.contains("x-request-id: 1\r\n") && heard.ends_with("\r\n\r\n{\"a\":1}"), "{heard}");
        primary.playing.join().unwrap();
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_was_read() {
        let primary = primary(|listener| {
            let mut stream = accept(listener);
            for _ in 0..3 {
                hear(&mut stream);
                stream.write_all(FINE).unwrap();
            }
        });
        for _ in 0..2 {
            assert_eq!(text(&primary.client, get("/")).await, "fine");
            kept(&primary.client).await;
        }
        assert_eq!(text(&primary.client, get("/")).await, "fine");
        primary.playing.join().unwrap();
    }

    /// Until a connection is kept.
    async fn kept(client: &Client) {
        while client.home.kept.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_kept_connection_that_was_closed_costs_nothing() {
        let (tell, told) = mpsc::channel();
        let (closed, is_closed) = mpsc::channel();
        let primary = primary(move |listener| {
            let mut first = accept(listener);
            hear(&mut first);
            first.write_all(FINE).unwrap();
            told.recv().unwrap();
            drop(first);
            closed.send(()).unwrap();
            let mut second = accept(listener);
            assert!(hear(&mut second).ends_with("once"));
            second.write_all(FINE).unwrap();
            assert_eq!(hear(&mut second), "", "nothing is sent twice");
        });
        text(&primary.client, get("/")).await;
        kept(&primary.client).await;
        tell.send(()).unwrap();
        is_closed.recv().unwrap();
        assert_eq!(text(&primary.client, post("/", "once")).await, "fine");
        let Primary { client, playing, _folder } = primary;
        drop(client);
        playing.join().unwrap();
    }

    #[tokio::test]
    async fn a_connection_on_which_a_body_was_refused_takes_no_other_request() {
        for refusal in ["413 Payload Too Large", "408 Request Timeout"] {
            let primary = primary(move |listener| {
                let mut first = accept(listener);
                hear(&mut first);
                first.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).unwrap();
                // It is open still, and would take the next request with it.
                let mut second = accept(listener);
                assert!(hear(&mut second).ends_with("once"));
                second.write_all(FINE).unwrap();
            });
            text(&primary.client, post("/", "large")).await;
            assert_eq!(text(&primary.client, post("/", "once")).await, "fine", "{refusal}");
            let Primary { client, playing, _folder } = primary;
            drop(client);
            playing.join().unwrap();
        }
    }

    #[tokio::test]
    async fn a_request_that_was_written_is_never_sent_again() {
        let primary = primary(|listener| {
            let mut stream = accept(listener);
            hear(&mut stream);
            stream.write_all(FINE).unwrap();
            // The kept connection takes the second request, and dies of it.
            assert!(hear(&mut stream).ends_with("write"));
            drop(stream);
            // Whoever comes next is the third request.
            let mut next = accept(listener);
            assert!(hear(&mut next).starts_with("GET /third"));
            next.write_all(FINE).unwrap();
        });
        text(&primary.client, get("/")).await;
        kept(&primary.client).await;
        let failed = failure(&primary.client, post("/", "write"), LONG).await;
        assert!(failed.reached, "{failed}");
        assert_eq!(text(&primary.client, get("/third")).await, "fine");
        primary.playing.join().unwrap();
    }

    #[tokio::test]
    async fn where_nobody_listens_nothing_was_reached() {
        let folder = tempfile::tempdir().unwrap();
        let missing = to(&folder.path().join("none.sock"));
        let failed = failure(&missing, post("/", "x"), LONG).await;
        assert!(!failed.reached && failed.reason.contains("none.sock"), "{failed}");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        drop(tcp);
        let refused = Client::to(&format!("http://{address}"), None, false).unwrap();
        let failed = failure(&refused, post("/", "x"), LONG).await;
        assert!(!failed.reached && failed.reason.contains("refused"), "{failed}");
    }

    #[tokio::test]
    async fn silence_ends_in_time_and_may_have_been_reached() {
        let (done, wait) = mpsc::channel::<()>();
        let primary = primary(move |listener| {
            let _silent = accept(listener);
            let _ = wait.recv();
        });
        let failed = failure(&primary.client, post("/", "x"), SHORT).await;
        assert!(failed.reached && failed.reason.contains("within 150ms"), "{failed}");
        drop(done);
        primary.playing.join().unwrap();
    }

    #[tokio::test]
    async fn what_is_no_answer_is_a_failure_that_reached() {
        for nonsense in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-le", ""] {
            let primary = primary(move |listener| {
                let mut stream = accept(listener);
                hear(&mut stream);
                stream.write_all(nonsense.as_bytes()).unwrap();
            });
            assert!(failure(&primary.client, post("/", "x"), LONG).await.reached, "{nonsense:?}");
            primary.playing.join().unwrap();
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_is_not_whole() {
        for cut in ["content-length: 5\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
            let primary = primary(move |listener| {
                let mut stream = accept(listener);
                hear(&mut stream);
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{cut}").as_bytes()).unwrap();
            });
            let answer = primary.client.send(get("/"), LONG).await.unwrap();
            assert_eq!(answer.into_body().read(100, LONG).await, Err(BodyRefused::CutOff), "{cut}");
            primary.playing.join().unwrap();
        }
    }

    #[tokio::test]
    async fn the_body_of_an_answer_has_its_bounds() {
        let (done, wait) = mpsc::channel::<()>();
        let primary = primary(move |listener| {
            for body in ["content-length: 5\r\n\r\n12345", "transfer-encoding: chunked\r\n\r\n5\r\n12345\r\n", "content-length: 5\r\n\r\n1"]
            {
                let mut stream = accept(listener);
                hear(&mut stream);
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{body}").as_bytes()).unwrap();
                let _ = wait.recv();
            }
        });
        for expected in [BodyRefused::TooLarge(4), BodyRefused::TooLarge(4), BodyRefused::TooSlow] {
            let bytes = if expected == BodyRefused::TooSlow { 5 } else { 4 };
            let answer = primary.client.send_alone(get("/"), LONG).await.unwrap();
            assert_eq!(answer.into_body().read(bytes, SHORT).await, Err(expected));
            done.send(()).unwrap();
        }
        primary.playing.join().unwrap();
    }

    #[tokio::test]
    async fn a_stream_has_a_connection_of_its_own_and_comes_in_pieces() {
        let (go, wait) = mpsc::channel();
        let primary = primary(move |listener| {
            let mut stream = accept(listener);
            assert!(hear(&mut stream).starts_with("GET /changes"));
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na\n\r\n").unwrap();
            let mut other = accept(listener);
            hear(&mut other);
            other.write_all(FINE).unwrap();
            wait.recv().unwrap();
            stream.write_all(b"2\r\nb\n\r\n0\r\n\r\n").unwrap();
        });
        let mut lines = primary.client.send_alone(get("/changes"), LONG).await.unwrap().into_body();
        assert_eq!(lines.piece().await, Some(Ok(Bytes::from("a\n"))));
        assert_eq!(text(&primary.client, get("/")).await, "fine");
        go.send(()).unwrap();
        // The stream goes on though its client is gone.
        let Primary { client, playing, _folder } = primary;
        drop(client);
        assert_eq!(lines.piece().await, Some(Ok(Bytes::from("b\n"))));
        assert_eq!(lines.piece().await, None);
        playing.join().unwrap();
    }

    #[tokio::test]
    async fn a_request_whose_body_is_cut_off_never_looks_complete() {
        let (tell, told) = mpsc::channel();
        let primary = primary(move |listener| {
            let mut heard = String::new();
            let _ = accept(listener).read_to_string(&mut heard);
            tell.send(heard).unwrap();
        });
        let (pieces, stream) = tokio::sync::mpsc::channel(2);
        pieces.send(Ok(Bytes::from("half"))).await.unwrap();
        pieces.send(Err(CutOff)).await.unwrap();
        let request = Request::post("/").body(Outgoing::stream(stream)).unwrap();
        failure(&primary.client, request, LONG).await;
        assert!(!told.recv().unwrap().contains("0\r\n\r\n"));
        primary.playing.join().unwrap();
    }

    #[tokio::test]
    async fn who_gives_a_request_up_frees_its_connection() {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let primary = primary(move |listener| {
            let mut stream = accept(listener);
            hear(&mut stream);
            tell.send(()).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
        });
        tokio::select! {
            _ = primary.client.send(post("/", "x"), LONG) => panic!("nobody answered"),
            _ = told.recv() => {}
        }
        primary.playing.join().unwrap();
    }

    /// Answers what it was asked.
    struct Mirror;

    impl Answer for Mirror {
        async fn answer(self: &Arc<Self>, asked: Asked) -> Reply {
            let host = asked.parts.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
            let said = format!("{} {} {}", asked.parts.method, asked.parts.uri, host.unwrap_or_default());
            let said = if asked.parts.method == Method::POST { Bytes::from(said) } else { asked.body.read(100, LONG).await.unwrap() };
            Reply::json(StatusCode::OK, said)
        }
    }

    struct Tls {
        address: std::net::SocketAddr,
        server: Server,
        ca: PathBuf,
        _folder: tempfile::TempDir,
    }

    fn tls() -> Tls {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ca, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&ca, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(listen::tls(&ca, &key).err().unwrap().reason.contains("0600"), "a key that others can read");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let socket = listen::tcp("127.0.0.1:0".parse().unwrap(), Some(listen::tls(&ca, &key).unwrap())).unwrap();
        let address = Listening::address(&socket).unwrap();
        let server = Server::start(vec![socket], Arc::new(Mirror), Bounds::default(), 1, Arc::default()).unwrap();
        Tls { address, server, ca, _folder: folder }
    }

    #[tokio::test]
    async fn https_goes_to_whom_the_certificate_names_and_to_nobody_else() {
        let tls = tls();
        let port = tls.address.port();
        let client = Client::to(&format!("https://localhost:{port}/gitlab/"), Some(&tls.ca), false).unwrap();
        assert_eq!(text(&client, post("/api/v4/x?y", "z")).await, format!("POST /gitlab/api/v4/x?y localhost:{port}"));
        let other_name = Client::to(&format!("https://127.0.0.1:{port}"), Some(&tls.ca), false).unwrap();
        assert!(!failure(&other_name, post("/", "secret"), LONG).await.reached);
        let plain = Client::to(&format!("http://127.0.0.1:{port}"), None, false).unwrap();
        failure(&plain, get("/"), LONG).await;
        drop((client, other_name, plain));
        tokio::task::spawn_blocking(|| tls.server.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_without_certificates_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        for file in [empty, folder.path().join("none.pem")] {
            let refused = Client::to("https://localhost", Some(&file), false).err().unwrap();
            assert!(refused.reason.contains(&file.display().to_string()), "{refused}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        let refused = Client::to("https://root:secret@gitlab.example.com", None, false).err().unwrap();
        assert_eq!(refused.to_string(), "https://…@gitlab.example.com: a name or password in the URL is not used; remove it");
    }

    #[test]
    fn many_runtimes_share_the_connections() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.sock");
        let server =
            Server::start(vec![listen::unix(&path, 0o600, None).unwrap()], Arc::new(Mirror), Bounds::default(), 1, Arc::default()).unwrap();
        let client = to(&path);
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let client = client.clone();
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    for number in 0..100 {
                        let body = format!("{number}");
                        let request = Request::put("/").body(Outgoing::pass(Incoming::of(body.clone().into()), 100, LONG)).unwrap();
                        assert_eq!(runtime.block_on(text(&client, request)), body);
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
