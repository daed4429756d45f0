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
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::net::bounds::Bounds;
use crate::net::guard::Guard;
use crate::net::line::{Fate, Line, Waiting};
use crate::net::message::{Asked, CutOff, Incoming, Outgoing, Reply};
use crate::net::peer::Peer;
use crate::net::server::{Answer, Counted};

/// What all connections of one thread share.
pub struct Hall<A> {
    answer: Arc<A>,
    counted: Arc<Counted>,
    requests_per_connection: u64,
    http: Builder,
}

impl<A: Answer> Hall<A> {
    /// For one thread.
    pub fn new(answer: Arc<A>, counted: Arc<Counted>, bounds: &Bounds) -> Self {
        let mut http = Builder::new();
        // hyper's own timer for heads would be one more for each request: `line` has one for all.
        http.header_read_timeout(None);
        http.max_header_size(bounds.header_bytes);
        // Room for a head of the permitted size, and for bodies to come in large pieces.
        http.max_buf_size(bounds.header_bytes.saturating_add(1).max(64 << 10));
        // Answers are small: one buffer and one write.
        http.writev(false);
        if bounds.headers != HEADERS_OF_HYPER {
            http.max_headers(bounds.headers);
        }
        Self { answer, counted, requests_per_connection: bounds.requests_per_connection, http }
    }

    /// Serves one connection until it ends.
    pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(self: Rc<Self>, io: IO, peer: Peer, line: Rc<Line>, goodbye: Goodbye) {
        let guard = Guard::new(io, Rc::clone(&line));
        let service = service_fn(|request| {
            let (hall, line) = (Rc::clone(&self), Rc::clone(&line));
            async move { Ok::<_, Infallible>(hall.reply(request, peer, line).await) }
        });
        let mut connection = self.http.serve_connection(TokioIo::new(guard), service);
        let mut told = false;
        let ended = std::future::poll_fn(|context| {
            match line.fate() {
                Fate::Serve => {}
                Fate::WindDown if told => {}
                Fate::WindDown => {
                    told = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Fate::Cut => return Poll::Ready(Ended::Cut),
            }
            if !told {
                line.wake(context.waker());
            }
            let mut polled = Pin::new(&mut connection).poll(context);
            if polled.is_pending() && line.must_wait() {
                polled = Pin::new(&mut connection).poll(context);
            }
            polled.map(|result| match result {
                Ok(()) => Ended::Properly,
                Err(error) if error.is_parse() => Ended::Unreadable,
                Err(_) => Ended::Broken,
            })
        })
        .await;
        if ended == Ended::Unreadable {
            self.counted.bad_requests.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(ended, Ended::Properly | Ended::Unreadable) {
            close(connection.into_parts().io.into_inner(), &line, goodbye).await;
        }
    }

    async fn reply(&self, request: Request<hyper::body::Incoming>, peer: Peer, line: Rc<Line>) -> Response<Sent> {
        let (order, ambiguous) = line.asked();
        let version = request.version();
        let last = order >= self.requests_per_connection || ambiguous.is_some() || request.headers().contains_key(TRANSFER_ENCODING);
        let reply = match ambiguous {
            Some(ambiguous) => {
                self.counted.bad_requests.fetch_add(1, Ordering::Relaxed);
                Reply::message(StatusCode::BAD_REQUEST, &format!("400 Bad Request: {}", ambiguous.message()))
            }
            None => self.answer(request, peer).await,
        };
        // A client that is not told so may send its next request on a connection that closes.
        let last = last || line.awaits_body_of(order);
        let reply = if version < Version::HTTP_11 { without_chunks(reply) } else { reply };
        let streaming = reply.body.streams();
        line.replied(streaming);
        let mut response = Response::new(Sent { body: reply.body, line: streaming.then_some(line) });
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

    async fn answer(&self, request: Request<hyper::body::Incoming>, peer: Peer) -> Reply {
        let (parts, body) = request.into_parts();
        let asked = Asked { peer, parts, body: Incoming::arriving(body, None) };
        let answering = AssertUnwindSafe(async { self.answer.answer(asked).await }).catch_unwind();
        answering.await.unwrap_or_else(|_| {
            tracing::error!("a request met a fault of sidegate itself and was answered with 500");
            Reply::message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "500 Internal Server Error: sidegate failed on this request; its log says where",
            )
        })
    }
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// Closing the socket says it.
    Close,
    /// TLS has a word for it: without it the other side must fear that something was cut off.
    Notify,
}

/// As many header fields as hyper takes without a list on the heap.
const HEADERS_OF_HYPER: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Properly,
    Unreadable,
    Broken,
    Cut,
}

/// Closes so that the last answer arrives: a socket closed over unread bytes takes what was written with it.
async fn close<IO: AsyncRead + AsyncWrite + Unpin>(guard: Guard<IO>, line: &Line, goodbye: Goodbye) {
    let amid = guard.is_amid_request();
    if !amid && goodbye == Goodbye::Close {
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
    line.wait(Waiting::Head);
    while_served(line, lingering).await;
}

/// Runs until it ends, or until the line is not to be served any more.
pub async fn while_served<T>(line: &Line, act: impl Future<Output = T>) -> Option<T> {
    let mut act = pin!(act);
    std::future::poll_fn(|context| {
        line.wake(context.waker());
        let mut polled = act.as_mut().poll(context);
        if polled.is_pending() && line.must_wait() {
            polled = act.as_mut().poll(context);
        }
        match polled {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if line.fate() == Fate::Serve => Poll::Pending,
            Poll::Pending => Poll::Ready(None),
        }
    })
    .await
}

/// To a client of HTTP/1.0 a body of unknown length ends where the connection ends, so one that was cut off would look complete.
fn without_chunks(reply: Reply) -> Reply {
    if reply.body.length().is_some() {
        return reply;
    }
    let why = "505 HTTP Version Not Supported: this answer comes in pieces, ask with HTTP/1.1";
    Reply::message(StatusCode::HTTP_VERSION_NOT_SUPPORTED, why)
}

/// A body on its way out; says when its end was taken, if it came in pieces.
struct Sent {
    body: Outgoing,
    line: Option<Rc<Line>>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(line) = &self.line {
            line.streamed();
        }
    }
}
