//! Bodies: of a request or of the primary's response as they arrive, and of what is sent, read under a bound of bytes and time.
//!
//! A body that was cut off never looks complete: reading it is an error, and a body that is relayed is cut off at the same place. That is
//! why a body of unknown length is sent chunked; `net/server/connection.rs` says what becomes of clients that cannot read chunks.

use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Sleep, sleep, timeout};

use crate::net::memory_budget::{BudgetExhausted, BudgetHolder, Reservation};

/// A body that has not been read yet: of a request, or of the primary's response.
pub struct IncomingBody {
    source: InboundSource,
}

enum InboundSource {
    Buffered(Bytes),
    Streaming {
        body: hyper::body::Incoming,
        /// The thread that drives the connection must live as long as the body arrives.
        _connection_owner: Option<Arc<dyn Any + Send + Sync>>,
    },
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than the bound.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// It was cut off, or its framing is broken.
    #[error("the body was cut off")]
    Truncated,
    /// The caller is not authenticated, and the memory for the bodies of such callers is used up.
    #[error("there is no room for more bodies of callers who show no token in a header; try again in a moment")]
    BudgetExhausted,
    /// The memory for the bodies of authenticated callers is used up.
    #[error("the bodies of other requests take the memory that this one would need; try again in a moment")]
    MemoryInUse,
    /// The body alone, with what decoding it takes, is more than one may be.
    #[error("decoded, the body would take more than the {0} bytes of memory that one request may")]
    DecodedTooLarge(usize),
}

impl BodyError {
    /// Returns whether the body was refused for the memory that it would take.
    #[must_use]
    pub const fn is_lack_of_memory(self) -> bool {
        matches!(self, Self::BudgetExhausted | Self::MemoryInUse | Self::DecodedTooLarge(_))
    }
}

impl From<BudgetExhausted> for BodyError {
    fn from(error: BudgetExhausted) -> Self {
        match error {
            BudgetExhausted::InUse(BudgetHolder::Unauthenticated) => Self::BudgetExhausted,
            BudgetExhausted::InUse(BudgetHolder::Authenticated) => Self::MemoryInUse,
            BudgetExhausted::OverShare(bytes) => Self::DecodedTooLarge(bytes),
        }
    }
}

impl IncomingBody {
    /// Returns an empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// Returns a body whose bytes are in memory.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { source: InboundSource::Buffered(bytes) }
    }

    /// Returns a body that arrives over a connection. `connection_owner` lives as long as it.
    pub fn streaming(body: hyper::body::Incoming, connection_owner: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        if body.is_end_stream() {
            Self::empty()
        } else {
            Self { source: InboundSource::Streaming { body, _connection_owner: connection_owner } }
        }
    }

    /// Reads the whole body: at most `max_bytes`, within `time_limit`.
    pub async fn read(self, max_bytes: usize, time_limit: Duration) -> Result<Bytes, BodyError> {
        self.read_reserving(max_bytes, time_limit, &mut Reservation::unlimited()).await
    }

    /// Reads the whole body as [`Self::read`] does, and reserves what arrives. The reservation must live as long as the bytes are held.
    pub async fn read_reserving(
        mut self,
        max_bytes: usize,
        time_limit: Duration,
        reservation: &mut Reservation,
    ) -> Result<Bytes, BodyError> {
        if self.remaining_length().is_some_and(|declared| declared > max_bytes as u64) {
            return Err(BodyError::TooLarge(max_bytes));
        }
        if let InboundSource::Buffered(whole) = self.source {
            reservation.grow(whole.len())?;
            return Ok(whole);
        }
        timeout(time_limit, self.read_chunks(max_bytes, reservation)).await.unwrap_or(Err(BodyError::TimedOut))
    }

    async fn read_chunks(&mut self, max_bytes: usize, reservation: &mut Reservation) -> Result<Bytes, BodyError> {
        let Some(first) = self.next_chunk().await.transpose()? else { return Ok(Bytes::new()) };
        if first.len() > max_bytes {
            return Err(BodyError::TooLarge(max_bytes));
        }
        reservation.grow(first.len())?;
        if self.is_complete() {
            return Ok(first);
        }
        // Memory is allocated as bytes arrive, not as a header promises them.
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.next_chunk().await.transpose()? {
            if whole.len() + piece.len() > max_bytes {
                return Err(BodyError::TooLarge(max_bytes));
            }
            reservation.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Returns the next chunk; `None` at the proper end.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            InboundSource::Buffered(bytes) if bytes.is_empty() => Poll::Ready(None),
            InboundSource::Buffered(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            InboundSource::Streaming { body, .. } => loop {
                match ready!(Pin::new(&mut *body).poll_frame(context)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(BodyError::Truncated))),
                    // Trailers are ignored.
                    Some(Ok(frame)) => {
                        if let Ok(piece) = frame.into_data() {
                            return Poll::Ready(Some(Ok(piece)));
                        }
                    }
                }
            },
        }
    }

    fn is_complete(&self) -> bool {
        match &self.source {
            InboundSource::Buffered(bytes) => bytes.is_empty(),
            InboundSource::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    /// Returns how many bytes are still to come; `None` for a chunked body.
    #[must_use]
    pub fn remaining_length(&self) -> Option<u64> {
        match &self.source {
            InboundSource::Buffered(bytes) => Some(bytes.len() as u64),
            InboundSource::Streaming { body, .. } => body.size_hint().exact(),
        }
    }
}

/// A body to be sent.
pub struct OutgoingBody {
    source: OutboundSource,
    /// Dropped once the body has been handed to its connection.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

enum OutboundSource {
    Buffered(Bytes),
    Relayed(Box<RelayedBody>),
    Channel(Receiver<Result<Bytes, StreamAborted>>),
}

/// What a relayed body goes through. It may hold bytes back until more has arrived, and changes no length.
pub trait BodyFilter: Send {
    /// Takes the next bytes, and returns those that may be sent.
    fn push(&mut self, chunk: Bytes) -> Bytes;
    /// Returns what is left at the end of the body.
    fn finish(&mut self) -> Bytes;
    /// Returns how many bytes are held back.
    fn held_bytes(&self) -> usize;
}

struct RelayedBody {
    body: IncomingBody,
    filter: Box<dyn BodyFilter>,
    max_bytes: usize,
    remaining: usize,
    time_limit: Duration,
    /// Set at the first poll that has to wait: only then is it known which runtime sends.
    deadline: Option<Pin<Box<Sleep>>>,
    status: RelayStatus,
}

/// The state of a relayed body: whether and why it was cut off, and whether its source is waited for. Shared with whoever relays it, to
/// tell a slow source from a slow receiver.
#[derive(Clone, Debug, Default)]
pub struct RelayStatus(Arc<RelayState>);

#[derive(Debug, Default)]
struct RelayState {
    error: OnceLock<BodyError>,
    waiting_for_source: AtomicBool,
}

impl RelayStatus {
    /// Returns why the body was cut off; `None` if it was not, or not yet.
    #[must_use]
    pub fn error(&self) -> Option<BodyError> {
        self.0.error.get().copied()
    }

    /// Returns whether more of the body was requested and has not come: the source is slow, not the receiver.
    #[must_use]
    pub fn is_waiting_for_source(&self) -> bool {
        self.0.waiting_for_source.load(Ordering::Relaxed)
    }

    fn abort(&self, error: BodyError) -> StreamAborted {
        let _first_counts = self.0.error.set(error);
        StreamAborted
    }
}

impl OutgoingBody {
    /// Returns a body whose bytes are in memory (sent with `Content-Length`).
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self { source: OutboundSource::Buffered(bytes.into()), _held: None }
    }

    /// Returns a body that relays an incoming one as it arrives: at most `max_bytes`, and waiting for at most `time_limit`. It is cut off
    /// (not ended) where the source is cut off, too slow or too long. A declared length is declared again.
    #[must_use]
    pub fn relay(body: IncomingBody, max_bytes: usize, time_limit: Duration) -> Self {
        Self::relay_filtered(body, max_bytes, time_limit, Box::new(Unchanged))
    }

    /// As [`Self::relay`], through a filter.
    #[must_use]
    pub fn relay_filtered(body: IncomingBody, max_bytes: usize, time_limit: Duration, mut filter: Box<dyn BodyFilter>) -> Self {
        match body.source {
            InboundSource::Buffered(whole) if whole.len() <= max_bytes => {
                let (first, last) = (filter.push(whole), filter.finish());
                Self::from_bytes(if last.is_empty() { first } else { [first, last].concat().into() })
            }
            _ => Self {
                source: OutboundSource::Relayed(Box::new(RelayedBody {
                    body,
                    filter,
                    max_bytes,
                    remaining: max_bytes,
                    time_limit,
                    deadline: None,
                    status: RelayStatus::default(),
                })),
                _held: None,
            },
        }
    }

    /// Returns the shared state of a relayed body, in which an error is recorded if it is cut off.
    #[must_use]
    pub fn relay_status(&self) -> RelayStatus {
        match &self.source {
            OutboundSource::Relayed(relayed) => relayed.status.clone(),
            OutboundSource::Buffered(_) | OutboundSource::Channel(_) => RelayStatus::default(),
        }
    }

    /// Returns a body of the chunks that are sent into a bounded channel. An error cuts the body off; dropping the sender ends it.
    #[must_use]
    pub fn from_channel(chunks: Receiver<Result<Bytes, StreamAborted>>) -> Self {
        Self { source: OutboundSource::Channel(chunks), _held: None }
    }

    /// Returns the body with something that is dropped once all of it has been handed to its connection, or the connection has ended.
    #[must_use]
    pub fn holding(self, held: Box<dyn Any + Send + Sync>) -> Self {
        Self { _held: Some(held), ..self }
    }

    /// Returns a copy, if the bytes are in memory.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.source {
            OutboundSource::Buffered(bytes) => Some(Self::from_bytes(bytes.clone())),
            OutboundSource::Relayed(_) | OutboundSource::Channel(_) => None,
        }
    }

    /// Returns the bytes, if they are in memory.
    #[must_use]
    pub fn buffered(&self) -> Option<Bytes> {
        match &self.source {
            OutboundSource::Buffered(bytes) => Some(bytes.clone()),
            OutboundSource::Relayed(_) | OutboundSource::Channel(_) => None,
        }
    }

    /// Returns whether the bytes are not all in memory.
    pub fn is_streaming(&self) -> bool {
        !matches!(self.source, OutboundSource::Buffered(_))
    }

    /// Returns the length, if it is known.
    pub fn known_length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = StreamAborted;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamAborted>>> {
        let piece = match &mut self.source {
            OutboundSource::Buffered(bytes) if bytes.is_empty() => None,
            OutboundSource::Buffered(bytes) => Some(Ok(std::mem::take(bytes))),
            OutboundSource::Relayed(relayed) => ready!(relayed.poll_chunk(context)),
            OutboundSource::Channel(chunks) => ready!(chunks.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            OutboundSource::Buffered(bytes) => bytes.is_empty(),
            OutboundSource::Relayed(relayed) => relayed.body.is_complete() && relayed.filter.held_bytes() == 0,
            OutboundSource::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.source {
            OutboundSource::Buffered(bytes) => Some(bytes.len() as u64),
            OutboundSource::Relayed(relayed) => relayed.remaining_length(),
            OutboundSource::Channel(_) => None,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

struct Unchanged;

impl BodyFilter for Unchanged {
    fn push(&mut self, chunk: Bytes) -> Bytes {
        chunk
    }

    fn finish(&mut self) -> Bytes {
        Bytes::new()
    }

    fn held_bytes(&self) -> usize {
        0
    }
}

impl RelayedBody {
    fn remaining_length(&self) -> Option<u64> {
        self.body.remaining_length().map(|length| length + self.filter.held_bytes() as u64)
    }

    /// Returns the next bytes that the filter lets through; `None` at the proper end.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamAborted>>> {
        loop {
            let passed = match ready!(self.poll_source(context)) {
                Some(Ok(piece)) => self.filter.push(piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => match self.filter.finish() {
                    rest if rest.is_empty() => return Poll::Ready(None),
                    rest => rest,
                },
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(passed)));
            }
        }
    }

    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamAborted>>> {
        let piece = self.body.poll_chunk(context);
        self.status.0.waiting_for_source.store(piece.is_pending(), Ordering::Relaxed);
        match piece {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(piece))) if piece.len() <= self.remaining => {
                self.remaining -= piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Ok(_))) => Poll::Ready(Some(Err(self.status.abort(BodyError::TooLarge(self.max_bytes))))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(self.status.abort(error)))),
            Poll::Pending => {
                let time_limit = self.time_limit;
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(time_limit)));
                deadline.as_mut().poll(context).map(|()| Some(Err(self.status.abort(BodyError::TimedOut))))
            }
        }
    }
}

/// Sent into a stream that must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut off on purpose")]
pub struct StreamAborted;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::{BodyError, IncomingBody, OutgoingBody};
    use crate::net::memory_budget::{BudgetHolder, MemoryBudget, Reservation};

    #[tokio::test]
    async fn a_relayed_body_records_whether_and_why_it_was_cut_off() {
        let pass = |bytes| OutgoingBody::relay(IncomingBody::from_bytes("12345678".into()), bytes, Duration::from_secs(60));
        let (over, whole) = (pass(7), pass(8));
        let [over_broke, whole_broke] = [&over, &whole].map(OutgoingBody::relay_status);
        assert_eq!(over_broke.error(), None, "not yet");
        assert!(over.collect().await.is_err() && whole.collect().await.is_ok());
        assert_eq!((over_broke.error(), whole_broke.error()), (Some(BodyError::TooLarge(7)), None));
    }

    #[tokio::test]
    async fn a_body_beyond_the_memory_budget_is_refused_unless_it_is_an_operator_s() {
        let time = Duration::from_secs(60);
        let body = || IncomingBody::from_bytes("1234567".into());
        for (holder, refusal) in
            [(BudgetHolder::Unauthenticated, BodyError::BudgetExhausted), (BudgetHolder::Authenticated, BodyError::MemoryInUse)]
        {
            let budget = MemoryBudget::new(10, 8, holder);
            let mut held = budget.reservation();
            assert_eq!(body().read_reserving(100, time, &mut held).await.as_deref(), Ok(&b"1234567"[..]));
            assert_eq!(body().read_reserving(100, time, &mut budget.reservation()).await, Err(refusal));
            assert!(body().read_reserving(100, time, &mut Reservation::unlimited()).await.is_ok());
            assert_eq!(body().read_reserving(100, time, &mut held).await, Err(BodyError::DecodedTooLarge(8)));
            drop(held);
            assert!(body().read_reserving(100, time, &mut budget.reservation()).await.is_ok());
        }
    }
}
