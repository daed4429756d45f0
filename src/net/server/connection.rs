//! One connection, from accept to close: its requests to the handler, its answers back.

use std::convert::Infallible;
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
use crate::net::server::handler::Handler;
use crate::net::server::inspected_stream::InspectedStream;
use crate::net::server::limits::ServerLimits;

/// What all connections of one thread share.
pub struct HttpService<A> {
    answer: Arc<A>,
    counters: Arc<ServerCounters>,
    requests_per_connection: u64,
    http: Builder,
}

impl<A: Handler> HttpService<A> {
    /// For one thread.
    pub fn new(answer: Arc<A>, counted: Arc<ServerCounters>, bounds: &ServerLimits) -> Self {
        let mut http = Builder::new();
        // hyper's own timer for heads would be one more for each request: `line` has one for all.
        http.header_read_timeout(None);
        http.max_header_size(bounds.header_bytes);
        // Room for a head of the permitted size, and for bodies to come in large pieces.
        http.max_buf_size(bounds.header_bytes.saturating_add(1).max(64 << 10));
        // Answers are small: one buffer and one write.
        http.writev(false);
        if bounds.headers != HYPER_DEFAULT_MAX_HEADERS {
            http.max_headers(bounds.headers);
        }
        Self { answer, counters: counted, requests_per_connection: bounds.requests_per_connection, http }
    }

    /// Serves one connection until it ends.
    pub async fn serve_connection<IO: AsyncRead + AsyncWrite + Unpin>(
        self: Rc<Self>,
        io: IO,
        peer: Peer,
        line: Rc<ConnectionState>,
        goodbye: CloseMode,
    ) {
        let guard = InspectedStream::new(io, Rc::clone(&line));
        let service = service_fn(|request| {
            let (hall, line) = (Rc::clone(&self), Rc::clone(&line));
            async move { Ok::<_, Infallible>(hall.respond(request, peer, line).await) }
        });
        let mut connection = self.http.serve_connection(TokioIo::new(guard), service);
        let mut told = false;
        let ended = std::future::poll_fn(|context| {
            match line.mode() {
                ServeMode::Serve => {}
                ServeMode::Drain if told => {}
                ServeMode::Drain => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                ServeMode::Close => return Poll::Ready(ConnectionEnd::Closed),
            }
            if !told {
                line.set_waker(context.waker());
            }
            let mut polled = Pin::new(&mut connection).poll(context);
            if polled.is_pending() && line.require_registration() {
                polled = Pin::new(&mut connection).poll(context);
            }
            polled.map(|result| match result {
                Ok(()) => ConnectionEnd::Clean,
                Err(error) if error.is_parse() => ConnectionEnd::InvalidRequest,
                Err(_) => ConnectionEnd::Failed,
            })
        })
        .await;
        if ended == ConnectionEnd::InvalidRequest {
            self.counters.bad_requests.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(ended, ConnectionEnd::Clean | ConnectionEnd::InvalidRequest) {
            close_gracefully(connection.into_parts().io.into_inner(), &line, goodbye).await;
        }
    }

    async fn respond(
        &self,
        request: http::Request<hyper::body::Incoming>,
        peer: Peer,
        line: Rc<ConnectionState>,
    ) -> http::Response<TrackedBody> {
        let (order, ambiguous) = line.request_started();
        let version = request.version();
        let last = order >= self.requests_per_connection || ambiguous.is_some() || request.headers().contains_key(TRANSFER_ENCODING);
        let reply = match ambiguous {
            Some(ambiguous) => {
                self.counters.bad_requests.fetch_add(1, Ordering::Relaxed);
                Response::message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {}", ambiguous.message()))
            }
            None => self.handle(request, peer).await,
        };
        // A client that is not told so may send its next request on a connection that closes.
        let last = last || line.awaiting_body(order);
        let reply = if version < Version::HTTP_11 { reject_unknown_length(reply) } else { reply };
        let streaming = reply.body.is_streaming();
        line.response_started(streaming);
        let mut response = http::Response::new(TrackedBody { body: reply.body, connection: streaming.then_some(line) });
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        let headers = response.headers_mut();
        if !headers.is_empty() {
            headers.remove(CONTENT_LENGTH);
            headers.remove(TRANSFER_ENCODING);
            headers.remove(CONNECTION);
        }
        if last {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn handle(&self, request: http::Request<hyper::body::Incoming>, peer: Peer) -> Response {
        let (parts, body) = request.into_parts();
        let asked = Request { peer, parts, body: IncomingBody::streaming(body, None) };
        let answering = AssertUnwindSafe(async { self.answer.handle(asked).await }).catch_unwind();
        answering.await.unwrap_or_else(|_| {
            tracing::error!("a request met a fault of sidegate itself and was answered with 500");
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
    /// Closing the socket says it.
    Socket,
    /// TLS has a word for it: without it the other side must fear that something was cut off.
    TlsCloseNotify,
}

/// As many header fields as hyper takes without a list on the heap.
const HYPER_DEFAULT_MAX_HEADERS: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionEnd {
    Clean,
    InvalidRequest,
    Failed,
    Closed,
}

/// Closes so that the last answer arrives: a socket closed over unread bytes takes what was written with it.
async fn close_gracefully<IO: AsyncRead + AsyncWrite + Unpin>(guard: InspectedStream<IO>, line: &ConnectionState, goodbye: CloseMode) {
    let amid = guard.is_mid_request();
    if !amid && goodbye == CloseMode::Socket {
        return;
    }
    let mut io = guard.into_inner();
    let lingering = async {
        if io.shutdown().await.is_err() || !amid {
            return;
        }
        // On the heap: every connection would carry it otherwise.
        let mut unread = vec![0; 4096];
        while io.read(&mut unread).await.is_ok_and(|length| length > 0) {}
    };
    line.set_waiting(WaitState::RequestHead);
    run_while_serving(line, lingering).await;
}

/// Runs until it ends, or until the line is not to be served any more.
pub async fn run_while_serving<T>(line: &ConnectionState, act: impl Future<Output = T>) -> Option<T> {
    let mut act = pin!(act);
    std::future::poll_fn(|context| {
        line.set_waker(context.waker());
        let mut polled = act.as_mut().poll(context);
        if polled.is_pending() && line.require_registration() {
            polled = act.as_mut().poll(context);
        }
        match polled {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if line.mode() == ServeMode::Serve => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

/// To a client of HTTP/1.0 a body of unknown length ends where the connection ends, so one that was cut off would look complete.
fn reject_unknown_length(reply: Response) -> Response {
    if reply.body.known_length().is_some() {
        return reply;
    }
    let why = "505 HTTP Version Not Supported: this answer comes in pieces, ask with HTTP/1.1";
    Response::message(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why)
}

/// A body on its way out; says when its end was taken, if it came in pieces.
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
        if let Some(line) = &self.connection {
            line.stream_finished();
        }
    }
}
