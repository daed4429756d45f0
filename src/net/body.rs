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

use crate::net::memory_budget::{BudgetExhausted, Reservation};

/// A body that has not been read yet (of a request, or of the primary's answer).
pub struct IncomingBody {
    source: InboundSource,
}

enum InboundSource {
    Buffered(Bytes),
    Streaming {
        body: hyper::body::Incoming,
        /// What must live as long as the body arrives: the thread that drives its connection.
        _connection_owner: Option<Arc<dyn Any + Send + Sync>>,
    },
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the bound.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not there in time.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// Cut off, or broken framing.
    #[error("the body was cut off")]
    Truncated,
    /// The caller has not shown who they are, and others like them hold all that is held for such.
    #[error("there is no room for more bodies of callers who show no token in a header; try again in a moment")]
    BudgetExhausted,
}

impl From<BudgetExhausted> for BodyError {
    fn from(_: BudgetExhausted) -> Self {
        Self::BudgetExhausted
    }
}

impl IncomingBody {
    /// An empty one.
    #[must_use]
    pub fn empty() -> Self {
        Self::from_bytes(Bytes::new())
    }

    /// One whose bytes are at hand.
    #[must_use]
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { source: InboundSource::Buffered(bytes) }
    }

    pub(in crate::net) fn streaming(body: hyper::body::Incoming, driven_by: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        if body.is_end_stream() { Self::empty() } else { Self { source: InboundSource::Streaming { body, _connection_owner: driven_by } } }
    }

    /// The whole body: at most `bytes` of it, within `time`.
    pub async fn read(self, bytes: usize, time: Duration) -> Result<Bytes, BodyError> {
        self.read_reserving(bytes, time, &mut Reservation::unlimited()).await
    }

    /// The same, while `share` grows by what arrives. It is to live as long as the bytes are held, or until the caller is believed.
    pub async fn read_reserving(mut self, bytes: usize, time: Duration, share: &mut Reservation) -> Result<Bytes, BodyError> {
        if self.remaining_length().is_some_and(|declared| declared > bytes as u64) {
            return Err(BodyError::TooLarge(bytes));
        }
        if let InboundSource::Buffered(whole) = self.source {
            share.grow(whole.len())?;
            return Ok(whole);
        }
        timeout(time, self.read_chunks(bytes, share)).await.unwrap_or(Err(BodyError::TimedOut))
    }

    async fn read_chunks(&mut self, bytes: usize, share: &mut Reservation) -> Result<Bytes, BodyError> {
        let Some(first) = self.next_chunk().await.transpose()? else { return Ok(Bytes::new()) };
        if first.len() > bytes {
            return Err(BodyError::TooLarge(bytes));
        }
        share.grow(first.len())?;
        if self.is_complete() {
            return Ok(first);
        }
        // Memory is taken as bytes arrive, not as a header promises them.
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.next_chunk().await.transpose()? {
            if whole.len() + piece.len() > bytes {
                return Err(BodyError::TooLarge(bytes));
            }
            share.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece of it; `None` at its proper end.
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
                    // Trailers are not part of what anybody here asks for.
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

    /// How many bytes are still to come, if it is known: they are at hand, or a `Content-Length` said so. `None` for a chunked body.
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
}

enum OutboundSource {
    Buffered(Bytes),
    Relayed(Box<RelayedBody>),
    Channel(Receiver<Result<Bytes, StreamAborted>>),
}

struct RelayedBody {
    body: IncomingBody,
    max_bytes: usize,
    remaining: usize,
    time_limit: Duration,
    /// Set up at the first poll: only then is it known which runtime sends.
    deadline: Option<Pin<Box<Sleep>>>,
    status: RelayStatus,
}

/// Whether a body that is passed on has broken off before it came to its end, and by what; and who is waited for meanwhile. Shared: asked
/// by who passes it on, when the other side did not take it.
#[derive(Clone, Debug, Default)]
pub struct RelayStatus(Arc<RelayState>);

#[derive(Debug, Default)]
struct RelayState {
    error: OnceLock<BodyError>,
    waiting_for_source: AtomicBool,
}

impl RelayStatus {
    /// Why it broke off; `None` if it did not, or not yet.
    #[must_use]
    pub fn error(&self) -> Option<BodyError> {
        self.0.error.get().copied()
    }

    /// Whether more of it was asked for, and has not come: who sends it is slow, and not who takes it.
    #[must_use]
    pub fn is_waiting_for_source(&self) -> bool {
        self.0.waiting_for_source.load(Ordering::Relaxed)
    }

    fn abort(&self, why: BodyError) -> StreamAborted {
        let _first_counts = self.0.error.set(why);
        StreamAborted
    }
}

impl OutgoingBody {
    /// Bytes at hand (`Content-Length`).
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        Self { source: OutboundSource::Buffered(bytes.into()) }
    }

    /// Passes an incoming body on as it arrives, at most `bytes` of it and for at most `time`, cut off (not ended) where it is cut off,
    /// too slow or too long. A declared length is declared again.
    #[must_use]
    pub fn relay(body: IncomingBody, bytes: usize, time: Duration) -> Self {
        match body.source {
            InboundSource::Buffered(whole) if whole.len() <= bytes => Self::from_bytes(whole),
            _ => Self {
                source: OutboundSource::Relayed(Box::new(RelayedBody {
                    body,
                    max_bytes: bytes,
                    remaining: bytes,
                    time_limit: time,
                    deadline: None,
                    status: RelayStatus::default(),
                })),
            },
        }
    }

    /// Where it will stand why this body broke off, if it does.
    #[must_use]
    pub fn relay_status(&self) -> RelayStatus {
        match &self.source {
            OutboundSource::Relayed(passed) => passed.status.clone(),
            OutboundSource::Buffered(_) | OutboundSource::Channel(_) => RelayStatus::default(),
        }
    }

    /// Pieces as they are sent into a bounded channel; an error cuts the body off; dropping the sender ends it.
    #[must_use]
    pub fn from_channel(pieces: Receiver<Result<Bytes, StreamAborted>>) -> Self {
        Self { source: OutboundSource::Channel(pieces) }
    }

    /// The same once more, if its bytes are at hand.
    pub(in crate::net) fn try_clone(&self) -> Option<Self> {
        match &self.source {
            OutboundSource::Buffered(bytes) => Some(Self::from_bytes(bytes.clone())),
            OutboundSource::Relayed(_) | OutboundSource::Channel(_) => None,
        }
    }

    /// Whether its bytes are not all at hand.
    pub(in crate::net) fn is_streaming(&self) -> bool {
        !matches!(self.source, OutboundSource::Buffered(_))
    }

    /// Its length, if that is known.
    pub(in crate::net) fn known_length(&self) -> Option<u64> {
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
            OutboundSource::Relayed(passed) => ready!(passed.poll_chunk(context)),
            OutboundSource::Channel(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            OutboundSource::Buffered(bytes) => bytes.is_empty(),
            OutboundSource::Relayed(passed) => passed.body.is_complete(),
            OutboundSource::Channel(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.source {
            OutboundSource::Buffered(bytes) => Some(bytes.len() as u64),
            OutboundSource::Relayed(passed) => passed.body.remaining_length(),
            OutboundSource::Channel(_) => None,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl RelayedBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamAborted>>> {
        let piece = self.body.poll_chunk(context);
        self.status.0.waiting_for_source.store(piece.is_pending(), Ordering::Relaxed);
        match piece {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(piece))) if piece.len() <= self.remaining => {
                self.remaining -= piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Ok(_))) => Poll::Ready(Some(Err(self.status.abort(BodyError::TooLarge(self.max_bytes))))),
            Poll::Ready(Some(Err(why))) => Poll::Ready(Some(Err(self.status.abort(why)))),
            Poll::Pending => {
                let time = self.time_limit;
                let until = self.deadline.get_or_insert_with(|| Box::pin(sleep(time)));
                until.as_mut().poll(context).map(|()| Some(Err(self.status.abort(BodyError::TimedOut))))
            }
        }
    }
}

/// Said into a stream that must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut off on purpose")]
pub struct StreamAborted;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::{BodyError, IncomingBody, OutgoingBody};
    use crate::net::memory_budget::MemoryBudget;

    #[tokio::test]
    async fn a_body_that_is_passed_on_says_whether_it_broke_off_and_by_what() {
        let pass = |bytes| OutgoingBody::relay(IncomingBody::from_bytes("12345678".into()), bytes, Duration::from_secs(60));
        let (over, whole) = (pass(7), pass(8));
        let [over_broke, whole_broke] = [&over, &whole].map(OutgoingBody::relay_status);
        assert_eq!(over_broke.error(), None, "not yet");
        assert!(over.collect().await.is_err() && whole.collect().await.is_ok());
        assert_eq!((over_broke.error(), whole_broke.error()), (Some(BodyError::TooLarge(7)), None));
    }

    #[tokio::test]
    async fn a_body_for_which_there_is_no_room_is_refused_and_one_of_the_believed_is_not() {
        let (allowance, time) = (MemoryBudget::new(10), Duration::from_secs(60));
        let mut held = allowance.reservation();
        let read = IncomingBody::from_bytes("1234567".into()).read_reserving(100, time, &mut held).await;
        assert_eq!(read.as_deref(), Ok(&b"1234567"[..]));
        let again = IncomingBody::from_bytes("1234567".into()).read_reserving(100, time, &mut allowance.reservation()).await;
        assert_eq!(again, Err(BodyError::BudgetExhausted));
        assert!(IncomingBody::from_bytes("1234567".into()).read(100, time).await.is_ok());
        drop(held);
        assert!(IncomingBody::from_bytes("1234567".into()).read_reserving(100, time, &mut allowance.reservation()).await.is_ok());
    }
}
