//! The stream between a socket and hyper. It inspects the framing of requests, records who waits for whom, and puts a message into the
//! empty responses that hyper itself gives to requests that it cannot parse.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::server::connection_state::ConnectionState;
use crate::net::server::early_refusals::EarlyRefusal;
use crate::net::server::framing::RequestFraming;
use crate::net::server::reading_end::{EndReading, Unread};

/// A socket whose bytes are inspected.
pub struct InspectedStream<IO> {
    io: IO,
    connection: Rc<ConnectionState>,
    framing: RequestFraming,
    read_closed: bool,
    /// We have ended reading: that nothing more comes does not mean that the client has hung up.
    reading_ended: bool,
    /// The response that is written in place of hyper's own, and how many bytes of it have been written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl<IO> InspectedStream<IO> {
    /// Wraps the socket of a connection.
    pub fn new(io: IO, connection: Rc<ConnectionState>) -> Self {
        Self { io, connection, framing: RequestFraming::new(), read_closed: false, reading_ended: false, replacement: None }
    }

    /// Returns whether the client may still be sending a request that nobody will read.
    pub fn is_mid_request(&self) -> bool {
        !self.read_closed && (self.framing.is_mid_request() || self.replacement.is_some())
    }

    /// Returns whether the connection closes now unless a request has arrived.
    fn closes_now(&self) -> bool {
        self.connection.closes_when_idle() && !self.framing.is_mid_request()
    }

    /// Returns why hyper refused a request on its own: by the status that it has written, unless the framing was ambiguous.
    pub fn refusal(&self) -> EarlyRefusal {
        let status = self.replacement.as_ref().and_then(|(response, _)| std::str::from_utf8(response.get(9..12)?).ok()?.parse().ok());
        match status {
            Some(400) if self.framing.ambiguity().is_some() => EarlyRefusal::AmbiguousFraming,
            Some(status) => EarlyRefusal::of_status(status),
            None => EarlyRefusal::Malformed,
        }
    }

    /// Returns the socket.
    pub fn into_inner(self) -> IO {
        self.io
    }
}

impl<IO: AsyncRead + EndReading + Unpin> AsyncRead for InspectedStream<IO> {
    /// Reads. Where the connection closes once it is idle, its end is found as soon as it is and nothing has arrived.
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if polled.is_pending() && self.closes_now() {
            match self.io.end_reading() {
                Unread::Nothing => {
                    self.read_closed = true;
                    return Poll::Ready(Ok(()));
                }
                Unread::LastBytes => self.reading_ended = true,
                Unread::Bytes => {}
            }
        }
        ready!(polled)?;
        let received = buffer.filled().get(before..).unwrap_or_default();
        if received.is_empty() {
            if self.reading_ended && !self.framing.is_mid_request() && !self.closes_now() {
                // hyper would take it for a hang-up and give up the request that it has. The response ends the connection, so nobody needs to
                // be woken.
                return Poll::Pending;
            }
            self.read_closed = true;
        } else {
            self.framing.observe(received);
            self.connection.bytes_received(self.framing.ambiguity(), self.framing.request_awaiting_body());
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for InspectedStream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replacement.is_some() || (!self.connection.has_responded() && is_empty_error_response(bytes)) {
            return self.write_replacement(context, bytes);
        }
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.connection.set_peer_reading(written.is_ready());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    /// Does nothing: hyper is done, but only `close_gracefully` knows whether everything was read.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> InspectedStream<IO> {
    fn write_replacement(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let ambiguity = self.framing.ambiguity().map(|(_, ambiguity)| ambiguity.message());
        let (response, written) = self.replacement.get_or_insert_with(|| (error_response_with_message(bytes, ambiguity), 0));
        while let Some(rest) = response.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                length => *written += length,
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }
}

/// Returns whether the bytes are a response of status 4xx without a body, and nothing else.
fn is_empty_error_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 4") && bytes.ends_with(b"\r\n\r\n") && bytes.windows(21).any(|part| part == b"\r\ncontent-length: 0\r\n")
}

/// Returns the same refusal with a JSON message.
fn error_response_with_message(refusal: &[u8], ambiguity: Option<&str>) -> Vec<u8> {
    let status = refusal.split(|byte| *byte == b'\r').next().and_then(|line| line.get(9..)).unwrap_or(b"400 Bad Request");
    let status = String::from_utf8_lossy(status);
    let message = match status.get(..3) {
        Some("400") if let Some(ambiguity) = ambiguity => ambiguity,
        Some("431") => "the head of the request is too large or has too many fields",
        Some("414") => "the target of the request is too long",
        _ => "this is not a request that HTTP/1.1 allows",
    };
    let body = serde_json::json!({ "message": format!("{status}: {message}") }).to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}
