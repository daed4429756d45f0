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
use http::{Request, Response, Uri};
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
        let response =
            (&mut carried.0).await.unwrap_or_else(|_| Err(Failed { reached: true, reason: "the request was given up".into() }))?;
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
                    if keeping == Keeping::Shared {
                        self.keep_when_free(connection);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) => error,
                Err(_) => return Err(Failed { reached, reason: format!("no answer from {} within {within:?}", self.connector.name()) }),
            };
            match error.take_message().or(copy) {
                Some(unsent) if was_kept && !reached => request = unsent,
                _ => return Err(Failed { reached, reason: format!("no answer from {}: {}", self.connector.name(), chain(error.error())) }),
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

fn unsent(reason: String) -> Failed {
    Failed { reached: false, reason }
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
