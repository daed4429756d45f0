//! One request as it came, one answer as it goes; bodies are read under a bound of bytes and time.
//!
//! A body that was cut off never looks complete: reading it is an error, and what is passed on is broken off at the same place. For
//! that a body of unknown length goes chunked; how the server keeps the promise to clients that cannot read chunks stands there.

use std::any::Any;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Sleep, sleep, timeout};

use crate::net::allowance::{NoRoom, Share};
use crate::net::peer::Peer;

/// A body that has not been read yet (of a request, or of the primary's answer).
pub struct Incoming {
    inside: Inside,
}

enum Inside {
    Whole(Bytes),
    Arriving {
        body: hyper::body::Incoming,
        /// What must live as long as the body arrives: the thread that drives its connection.
        _driven_by: Option<Arc<dyn Any + Send + Sync>>,
    },
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefused {
    /// More bytes than the bound.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Not there in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// Cut off, or broken framing.
    #[error("the body was cut off")]
    CutOff,
    /// The caller has not shown who they are, and others like them hold all that is held for such.
    #[error("there is no room for more bodies of callers who show no token in a header; try again in a moment")]
    NoRoom,
}

impl From<NoRoom> for BodyRefused {
    fn from(_: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl Incoming {
    /// An empty one.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Bytes::new())
    }

    /// One whose bytes are at hand.
    #[must_use]
    pub fn of(bytes: Bytes) -> Self {
        Self { inside: Inside::Whole(bytes) }
    }

    pub(in crate::net) fn arriving(body: hyper::body::Incoming, driven_by: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        if body.is_end_stream() { Self::empty() } else { Self { inside: Inside::Arriving { body, _driven_by: driven_by } } }
    }

    /// The whole body: at most `bytes` of it, within `time`.
    pub async fn read(self, bytes: usize, time: Duration) -> Result<Bytes, BodyRefused> {
        self.read_within(bytes, time, &mut Share::of_the_believed()).await
    }

    /// The same, while `share` grows by what arrives. It is to live as long as the bytes are held, or until the caller is believed.
    pub async fn read_within(mut self, bytes: usize, time: Duration, share: &mut Share) -> Result<Bytes, BodyRefused> {
        if self.declared().is_some_and(|declared| declared > bytes as u64) {
            return Err(BodyRefused::TooLarge(bytes));
        }
        if let Inside::Whole(whole) = self.inside {
            share.grow(whole.len())?;
            return Ok(whole);
        }
        timeout(time, self.gather(bytes, share)).await.unwrap_or(Err(BodyRefused::TooSlow))
    }

    async fn gather(&mut self, bytes: usize, share: &mut Share) -> Result<Bytes, BodyRefused> {
        let Some(first) = self.piece().await.transpose()? else { return Ok(Bytes::new()) };
        if first.len() > bytes {
            return Err(BodyRefused::TooLarge(bytes));
        }
        share.grow(first.len())?;
        if self.is_over() {
            return Ok(first);
        }
        // Memory is taken as bytes arrive, not as a header promises them.
        let mut whole = BytesMut::from(first);
        while let Some(piece) = self.piece().await.transpose()? {
            if whole.len() + piece.len() > bytes {
                return Err(BodyRefused::TooLarge(bytes));
            }
            share.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece of it; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BodyRefused>> {
        std::future::poll_fn(|context| self.poll_piece(context)).await
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyRefused>>> {
        match &mut self.inside {
            Inside::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inside::Whole(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Inside::Arriving { body, .. } => loop {
                match ready!(Pin::new(&mut *body).poll_frame(context)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(BodyRefused::CutOff))),
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

    fn is_over(&self) -> bool {
        match &self.inside {
            Inside::Whole(bytes) => bytes.is_empty(),
            Inside::Arriving { body, .. } => body.is_end_stream(),
        }
    }

    /// How many bytes are still to come, if it is known: they are at hand, or a `Content-Length` said so. `None` for a chunked body.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        match &self.inside {
            Inside::Whole(bytes) => Some(bytes.len() as u64),
            Inside::Arriving { body, .. } => body.size_hint().exact(),
        }
    }
}

/// A body to be sent.
pub struct Outgoing {
    source: Source,
}

enum Source {
    Whole(Bytes),
    Passed(Box<Passed>),
    Stream(Receiver<Result<Bytes, CutOff>>),
}

struct Passed {
    body: Incoming,
    bytes: usize,
    left: usize,
    time: Duration,
    /// Set up at the first poll: only then is it known which runtime sends.
    until: Option<Pin<Box<Sleep>>>,
    broken: Broken,
}

/// Whether a body that is passed on has broken off before it came to its end, and by what; and who is waited for meanwhile. Shared: asked
/// by who passes it on, when the other side did not take it.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<Course>);

#[derive(Debug, Default)]
struct Course {
    broke: OnceLock<BodyRefused>,
    awaited: AtomicBool,
}

impl Broken {
    /// Why it broke off; `None` if it did not, or not yet.
    #[must_use]
    pub fn by(&self) -> Option<BodyRefused> {
        self.0.broke.get().copied()
    }

    /// Whether more of it was asked for, and has not come: who sends it is slow, and not who takes it.
    #[must_use]
    pub fn awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed)
    }

    fn off(&self, why: BodyRefused) -> CutOff {
        let _first_counts = self.0.broke.set(why);
        CutOff
    }
}

impl Outgoing {
    /// Bytes at hand (`Content-Length`).
    #[must_use]
    pub fn of(bytes: impl Into<Bytes>) -> Self {
        Self { source: Source::Whole(bytes.into()) }
    }

    /// Passes an incoming body on as it arrives, at most `bytes` of it and for at most `time`, cut off (not ended) where it is cut off,
    /// too slow or too long. A declared length is declared again.
    #[must_use]
    pub fn pass(body: Incoming, bytes: usize, time: Duration) -> Self {
        match body.inside {
            Inside::Whole(whole) if whole.len() <= bytes => Self::of(whole),
            _ => {
                Self { source: Source::Passed(Box::new(Passed { body, bytes, left: bytes, time, until: None, broken: Broken::default() })) }
            }
        }
    }

    /// Where it will stand why this body broke off, if it does.
    #[must_use]
    pub fn broken(&self) -> Broken {
        match &self.source {
            Source::Passed(passed) => passed.broken.clone(),
            Source::Whole(_) | Source::Stream(_) => Broken::default(),
        }
    }

    /// Pieces as they are sent into a bounded channel; an error cuts the body off; dropping the sender ends it.
    #[must_use]
    pub fn stream(pieces: Receiver<Result<Bytes, CutOff>>) -> Self {
        Self { source: Source::Stream(pieces) }
    }

    /// The same once more, if its bytes are at hand.
    pub(in crate::net) fn again(&self) -> Option<Self> {
        match &self.source {
            Source::Whole(bytes) => Some(Self::of(bytes.clone())),
            Source::Passed(_) | Source::Stream(_) => None,
        }
    }

    /// Whether its bytes are not all at hand.
    pub(in crate::net) fn streams(&self) -> bool {
        !matches!(self.source, Source::Whole(_))
    }

    /// Its length, if that is known.
    pub(in crate::net) fn length(&self) -> Option<u64> {
        self.size_hint().exact()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let piece = match &mut self.source {
            Source::Whole(bytes) if bytes.is_empty() => None,
            Source::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Source::Passed(passed) => ready!(passed.poll_piece(context)),
            Source::Stream(pieces) => ready!(pieces.poll_recv(context)),
        };
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Passed(passed) => passed.body.is_over(),
            Source::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let length = match &self.source {
            Source::Whole(bytes) => Some(bytes.len() as u64),
            Source::Passed(passed) => passed.body.declared(),
            Source::Stream(_) => None,
        };
        length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Passed {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        let piece = self.body.poll_piece(context);
        self.broken.0.awaited.store(piece.is_pending(), Ordering::Relaxed);
        match piece {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(piece))) if piece.len() <= self.left => {
                self.left -= piece.len();
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(Some(Ok(_))) => Poll::Ready(Some(Err(self.broken.off(BodyRefused::TooLarge(self.bytes))))),
            Poll::Ready(Some(Err(why))) => Poll::Ready(Some(Err(self.broken.off(why)))),
            Poll::Pending => {
                let time = self.time;
                let until = self.until.get_or_insert_with(|| Box::pin(sleep(time)));
                until.as_mut().poll(context).map(|()| Some(Err(self.broken.off(BodyRefused::TooSlow))))
            }
        }
    }
}

/// Said into a stream that must not look complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut off on purpose")]
pub struct CutOff;

/// A request as it came.
pub struct Asked {
    /// Who asks.
    pub peer: Peer,
    /// Method, target as in the request line, headers.
    pub parts: http::request::Parts,
    /// The body, unread.
    pub body: Incoming,
}

/// An answer.
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers; lengths and connection are the server's affair.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Outgoing,
}

impl Reply {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: Outgoing::of(body) }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Outgoing::of(Bytes::new()) }
    }

    /// A JSON answer that is only a message for a person.
    #[must_use]
    pub fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "message": message }).to_string())
    }

    /// With one more header (one of the same name is replaced). What cannot stand in a header value becomes `?`.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).or_else(|_| {
            let plain = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' };
            HeaderValue::from_str(&value.chars().map(plain).collect::<String>())
        });
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            self.headers.insert(name, value);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt as _;

    use super::{BodyRefused, Incoming, Outgoing};

    #[tokio::test]
    async fn a_body_that_is_passed_on_says_whether_it_broke_off_and_by_what() {
        let pass = |bytes| Outgoing::pass(Incoming::of("12345678".into()), bytes, Duration::from_secs(60));
        let (over, whole) = (pass(7), pass(8));
        let [over_broke, whole_broke] = [&over, &whole].map(Outgoing::broken);
        assert_eq!(over_broke.by(), None, "not yet");
        assert!(over.collect().await.is_err() && whole.collect().await.is_ok());
        assert_eq!((over_broke.by(), whole_broke.by()), (Some(BodyRefused::TooLarge(7)), None));
    }
}
