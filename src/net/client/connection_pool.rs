//! The connections to one primary, driven by one thread of their own.
//!
//! That thread lets every serving thread use them and lets them outlive each of those. It also settles whether a request had begun to be
//! written when its time was up: what writes and what counts the time run on one thread, so it is known and not guessed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::model::clock;
use crate::model::time::BootTime;
use crate::net::body::OutgoingBody;
use crate::net::client::connector::Connector;
use crate::net::client::error_chain::error_chain;
use crate::net::client::request_error::{RequestError, SendLimits, Unanswered};

/// A connection that was idle for longer is not used again: the other side may be about to close it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// The number of idle connections that are kept.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Whether a request may share connections with others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// It takes an idle connection, and its connection is kept for the next.
    Pooled,
    /// It has a connection of its own, which is closed after it.
    Dedicated,
}

/// The idle connections, and the thread that drives all connections. The thread ends when the pool is dropped.
pub struct ConnectionPool {
    /// The runtime on that thread.
    pub runtime: Handle,
    _shutdown: oneshot::Sender<()>,
    connector: Connector,
    host_header: HeaderValue,
    path_prefix: String,
    pub(super) idle: Mutex<Vec<(PooledConnection, BootTime)>>,
}

/// One connection to the primary.
pub struct PooledConnection {
    sender: SendRequest<OutgoingBody>,
    /// The number of bytes written to it so far.
    bytes_written: Arc<AtomicU64>,
}

impl ConnectionPool {
    /// Starts the thread of the connections.
    pub fn start(connector: Connector, host: HeaderValue, prefix: String) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (shutdown, shutdown_requested) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        std::thread::Builder::new().name("to-primary".into()).spawn(move || {
            let _ = runtime.block_on(shutdown_requested);
            // A name lookup that is still running must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, _shutdown: shutdown, connector, host_header: host, path_prefix: prefix, idle: Mutex::default() })
    }

    /// Returns the URL that this connects to, with its prefix, for messages.
    pub fn display_name(&self) -> String {
        format!("{}{}", self.connector.display_name(), self.path_prefix)
    }

    /// Sets the path with the prefix, and the `Host` header.
    pub fn set_target(&self, request: &mut Request<OutgoingBody>) -> Result<(), RequestError> {
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if self.path_prefix.is_empty() { target.to_owned() } else { format!("{}{target}", self.path_prefix) };
        *request.uri_mut() =
            Uri::try_from(target).map_err(|error| unsent_error(format!("the path of the request cannot be sent: {error}")))?;
        request.headers_mut().insert(HOST, self.host_header.clone());
        Ok(())
    }

    /// Sends one request within its limits and returns the head of its response. Sends it again only if an idle connection was found
    /// closed and not a byte of the request had been written; gives it back if none of it was.
    pub async fn execute(
        self: Arc<Self>,
        mut request: Request<OutgoingBody>,
        limits: SendLimits,
        pooling: Pooling,
    ) -> Result<Response<hyper::body::Incoming>, Unanswered> {
        let time_limit = limits.total;
        let deadline = Instant::now() + time_limit;
        loop {
            let idle = if pooling == Pooling::Pooled { self.take_idle() } else { None };
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(idle) => idle,
                None => match self.connect(deadline, limits.connect.min(time_limit)).await {
                    Ok(connection) => connection,
                    Err(error) => return Err(Unanswered { error, unsent: Some(Box::new(request)) }),
                },
            };
            let copy = if reused { clone_request(&request) } else { None };
            let written_before = connection.bytes_written.load(Ordering::Relaxed);
            let outcome = timeout_at(deadline, connection.sender.try_send_request(request)).await;
            let reached = connection.bytes_written.load(Ordering::Relaxed) > written_before;
            let mut error = match outcome {
                Ok(Ok(response)) => {
                    if pooling == Pooling::Pooled && !closes_connection(response.status()) {
                        self.return_when_idle(connection);
                    }
                    return Ok(response);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    let reason = format!("no answer from {} within {time_limit:?}", self.connector.display_name());
                    return Err(RequestError { may_have_reached: reached, timed_out: true, reason }.into());
                }
            };
            match error.take_message().or(copy) {
                Some(unsent) if reused && !reached => request = unsent,
                unsent => {
                    let reason = format!("no answer from {}: {}", self.connector.display_name(), error_chain(error.error()));
                    let error = RequestError { may_have_reached: reached, timed_out: false, reason };
                    return Err(Unanswered { error, unsent: unsent.filter(|_| !reached).map(Box::new) });
                }
            }
        }
    }

    /// Opens a connection within `time_limit`, at most until `deadline`.
    async fn connect(&self, deadline: Instant, time_limit: Duration) -> Result<PooledConnection, RequestError> {
        let deadline = deadline.min(Instant::now() + time_limit);
        let name = self.connector.display_name();
        let bytes_written = Arc::<AtomicU64>::default();
        let connecting = timeout_at(deadline, self.connector.connect(Arc::clone(&bytes_written))).await;
        let io = connecting
            .map_err(|_| unsent_error(format!("cannot connect to {name} within {time_limit:?}")))?
            .map_err(|error| unsent_error(format!("cannot connect to {name}: {}", error_chain(&*error))))?;
        let (sender, driver) = hyper::client::conn::http1::handshake(io)
            .await
            .map_err(|error| unsent_error(format!("cannot use the connection to {name}: {error}")))?;
        // Its error reaches whoever has a request on it.
        tokio::spawn(async { drop(driver.await) });
        Ok(PooledConnection { sender, bytes_written })
    }

    /// Takes an idle connection that is still open, the most recently used first.
    fn take_idle(&self) -> Option<PooledConnection> {
        let now = clock::boot_time();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if now.since(since) > IDLE_TIMEOUT {
                // Those before it have been idle for longer.
                idle.clear();
                return None;
            }
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Returns a connection to the pool as soon as the response on it has been read to its end.
    fn return_when_idle(self: &Arc<Self>, mut connection: PooledConnection) {
        let pool: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            if connection.sender.ready().await.is_err() {
                return;
            }
            let Some(pool) = pool.upgrade() else { return };
            let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() >= MAX_IDLE_CONNECTIONS {
                idle.remove(0);
            }
            idle.push((connection, clock::boot_time()));
        });
    }
}

/// Returns whether a server that answers with this status closes the connection: it refused a body unread, and not every server says so.
const fn closes_connection(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT)
}

fn unsent_error(reason: String) -> RequestError {
    RequestError { may_have_reached: false, timed_out: false, reason }
}

/// Returns a copy of the request if its body is in memory.
fn clone_request(request: &Request<OutgoingBody>) -> Option<Request<OutgoingBody>> {
    let mut copy = Request::new(request.body().try_clone()?);
    request.method().clone_into(copy.method_mut());
    request.uri().clone_into(copy.uri_mut());
    request.headers().clone_into(copy.headers_mut());
    Some(copy)
}
