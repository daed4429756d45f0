//! One request as it came, one answer as it goes; bodies are read under a bound of bytes and time.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::net::peer::Peer;

/// A body that has not been read yet (of a request, or of the primary's answer).
pub struct Incoming {
    _inner: (),
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
}

impl Incoming {
    /// An empty one.
    #[must_use]
    pub fn empty() -> Self {
        todo!()
    }

    /// One whose bytes are at hand.
    #[must_use]
    pub fn of(_bytes: Bytes) -> Self {
        todo!()
    }

    /// The whole body.
    pub async fn read(self, _bytes: usize, _time: Duration) -> Result<Bytes, BodyRefused> {
        todo!()
    }

    /// The next piece of it; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, BodyRefused>> {
        todo!()
    }

    /// Lower and upper bound of its length, as the headers say.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        todo!()
    }
}

/// A body to be sent.
pub struct Outgoing {
    _inner: (),
}

impl Outgoing {
    /// Bytes at hand (`Content-Length`).
    #[must_use]
    pub fn of(_bytes: impl Into<Bytes>) -> Self {
        todo!()
    }

    /// Passes an incoming body on as it arrives, at most `bytes` of it, cut off (not ended) where it is cut off, too slow or too long.
    #[must_use]
    pub fn pass(_body: Incoming, _bytes: usize, _time: Duration) -> Self {
        todo!()
    }

    /// Pieces as they are sent into a bounded channel; an error cuts the body off; dropping the sender ends it.
    #[must_use]
    pub fn stream(_pieces: tokio::sync::mpsc::Receiver<Result<Bytes, CutOff>>) -> Self {
        todo!()
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
    pub fn json(_status: StatusCode, _body: impl Into<Bytes>) -> Self {
        todo!()
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(_status: StatusCode) -> Self {
        todo!()
    }

    /// With one more header.
    #[must_use]
    pub fn with(self, _name: &'static str, _value: &str) -> Self {
        todo!()
    }
}
