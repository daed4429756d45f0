//! One connection, from accept to close: its requests go to the handler, and its responses back.

use std::convert::Infallible;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::net::body::{IncomingBody, OutgoingBody, StreamAborted};
use crate::net::message::{Request, Response};
use crate::net::peer::Peer;
use crate::net::server::connection_state::{ConnectionState, ServeMode, WaitState};
use crate::net::server::counters::ServerCounters;
use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::handler::Handler;
use crate::net::server::inspected_stream::InspectedStream;
use crate::net::server::limits::ServerLimits;
use crate::net::server::reading_end::EndReading;

/// What all connections of one worker thread share.
pub struct HttpService<H> {
    handler: Arc<H>,
    counters: Arc<ServerCounters>,
    requests_per_connection: u64,
    http: Builder,
}

impl<H: Handler> HttpService<H> {
    /// Returns the service of one worker thread.
    pub fn new(handler: Arc<H>, counters: Arc<ServerCounters>, limits: &ServerLimits) -> Self {
        let mut http = Builder::new();
        // hyper's own timer for heads would be one more for each request; the connection table has one for all.
        http.header_read_timeout(None);
        http.max_header_size(limits.header_bytes);
        // Room for a head of the permitted size, and for bodies to come in large pieces.
        http.max_buf_size(limits.header_bytes.saturating_add(1).max(64 << 10));
        // Responses are small: one buffer and one write.
        http.writev(false);
        if limits.headers != HYPER_DEFAULT_MAX_HEADERS {
            http.max_headers(limits.headers);
        }
        Self { handler, counters, requests_per_connection: limits.requests_per_connection, http }
    }

    /// Serves one connection until it ends.
    pub async fn serve_connection<IO: AsyncRead + AsyncWrite + EndReading + Unpin>(
        self: Rc<Self>,
        io: IO,
        peer: Peer,
        state: Rc<ConnectionState>,
        close_mode: CloseMode,
    ) {
        state.await_first_request();
        let stream = InspectedStream::new(io, Rc::clone(&state));
        let service = service_fn(|request| {
            let (service, state) = (Rc::clone(&self), Rc::clone(&state));
            async move { Ok::<_, Infallible>(service.respond(request, peer, state).await) }
        });
        let mut connection = self.http.serve_connection(TokioIo::new(stream), service);
        let end = std::future::poll_fn(|context| {
            // hyper's own graceful shutdown would close a connection whose request has arrived and has not been read.
            if state.mode() == ServeMode::Close {
                return Poll::Ready(ConnectionEnd::Closed);
            }
            state.set_waker(context.waker());
            let mut polled = Pin::new(&mut connection).poll(context);
            if polled.is_pending() && state.require_registration() {
                polled = Pin::new(&mut connection).poll(context);
            }
            polled.map(|result| match result {
                Ok(()) => ConnectionEnd::Clean,
                Err(error) if error.is_parse() => ConnectionEnd::InvalidRequest,
                Err(_) => ConnectionEnd::Failed,
            })
        })
        .await;
        let stream = connection.into_parts().io.into_inner();
        match end {
            ConnectionEnd::InvalidRequest => {
                self.counters.bad_requests.fetch_add(1, Ordering::Relaxed);
                let reason = stream.refusal();
                self.counters.early_refusals.record(reason, &peer);
            }
            ConnectionEnd::Closed if matches!(state.waiting(), WaitState::FirstRequest | WaitState::RequestHead) => {
                self.counters.early_refusals.record(EarlyRefusal::TooSlow, &peer);
            }
            ConnectionEnd::Clean | ConnectionEnd::Failed | ConnectionEnd::Closed => {}
        }
        if matches!(end, ConnectionEnd::Clean | ConnectionEnd::InvalidRequest) {
            close_gracefully(stream, &state, close_mode).await;
        }
    }

    /// Counts and logs a TLS handshake that failed, or did not end in time. One that the daemon's own end cut off is neither.
    pub fn record_failed_handshake(&self, peer: &Peer, state: &ConnectionState, error: Option<io::Error>) {
        match error {
            Some(error) => {
                self.counters.early_refusals.record_with_detail(EarlyRefusal::TlsHandshake, peer, &error.to_string());
            }
            None if state.mode() == ServeMode::Close => self.counters.early_refusals.record(EarlyRefusal::TooSlow, peer),
            None => {}
        }
    }

    async fn respond(
        &self,
        request: http::Request<hyper::body::Incoming>,
        peer: Peer,
        state: Rc<ConnectionState>,
    ) -> http::Response<TrackedBody> {
        let (index, ambiguity) = state.request_started();
        let version = request.version();
        let is_last = index >= self.requests_per_connection || ambiguity.is_some() || request.headers().contains_key(TRANSFER_ENCODING);
        let response = match ambiguity {
            Some(ambiguity) => {
                self.counters.bad_requests.fetch_add(1, Ordering::Relaxed);
                self.counters.early_refusals.record(EarlyRefusal::AmbiguousFraming, &peer);
                Response::message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {}", ambiguity.message()))
            }
            None => self.handle(request, peer).await,
        };
        // Without `Connection: close` the client might send its next request on a connection that is about to close.
        let is_last = is_last || state.awaiting_body(index) || state.mode() != ServeMode::Serve;
        let response = if version < Version::HTTP_11 { reject_unknown_length(response) } else { response };
        let streaming = response.body.is_streaming();
        state.response_started(streaming);
        let mut sent = http::Response::new(TrackedBody { body: response.body, connection: streaming.then_some(state) });
        *sent.status_mut() = response.status;
        *sent.headers_mut() = response.headers;
        let headers = sent.headers_mut();
        if !headers.is_empty() {
            headers.remove(CONTENT_LENGTH);
            headers.remove(TRANSFER_ENCODING);
            headers.remove(CONNECTION);
        }
        if is_last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        sent
    }

    async fn handle(&self, request: http::Request<hyper::body::Incoming>, peer: Peer) -> Response {
        let (parts, body) = request.into_parts();
        let request = Request { peer, parts, body: IncomingBody::streaming(body, None) };
        let outcome = AssertUnwindSafe(async { self.handler.handle(request).await }).catch_unwind();
        outcome.await.unwrap_or_else(|_| {
            tracing::error!("request handler panicked; answered 500");
            Response::message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "500 Internal Server Error: sidegate failed on this request; its log says where",
            )
        })
    }
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseMode {
    /// Closing the socket is enough.
    Socket,
    /// TLS sends `close_notify`: without it the other side must assume that something was cut off.
    TlsCloseNotify,
}

/// The number of header fields that hyper accepts without a list on the heap.
const HYPER_DEFAULT_MAX_HEADERS: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionEnd {
    Clean,
    InvalidRequest,
    Failed,
    Closed,
}

/// Closes so that the last response arrives: the kernel drops what was written if a socket is closed while bytes are unread.
async fn close_gracefully<IO: AsyncRead + AsyncWrite + EndReading + Unpin>(
    stream: InspectedStream<IO>,
    state: &ConnectionState,
    close_mode: CloseMode,
) {
    let mid_request = stream.is_mid_request();
    if !mid_request && close_mode == CloseMode::Socket {
        return;
    }
    let mut io = stream.into_inner();
    let linger = async {
        if io.shutdown().await.is_err() || !mid_request {
            return;
        }
        // On the heap: every connection would carry it otherwise.
        let mut unread = vec![0; 4096];
        while io.read(&mut unread).await.is_ok_and(|length| length > 0) {}
    };
    state.set_waiting(WaitState::RequestHead);
    run_until(ServeMode::Close, state, linger).await;
}

/// Runs a future to its end, or returns `None` as soon as the connection has come as far as `last`.
pub async fn run_until<T>(last: ServeMode, state: &ConnectionState, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        state.set_waker(context.waker());
        let mut polled = future.as_mut().poll(context);
        if polled.is_pending() && state.require_registration() {
            polled = future.as_mut().poll(context);
        }
        match polled {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if state.mode() < last => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

/// Replaces a response of unknown length by a 505: to a client of HTTP/1.0 such a body ends where the connection ends, so one that was
/// cut off would look complete.
fn reject_unknown_length(response: Response) -> Response {
    if response.body.known_length().is_some() {
        return response;
    }
    let message = "505 HTTP Version Not Supported: this answer comes in pieces, ask with HTTP/1.1";
    Response::message(StatusCode::HTTP_VERSION_NOT_SUPPORTED, message)
}

/// A body that is being sent. Tells the connection when it has ended, if it is streamed.
struct TrackedBody {
    body: OutgoingBody,
    connection: Option<Rc<ConnectionState>>,
}

impl Body for TrackedBody {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.stream_finished();
        }
    }
}
