//! Why a request to the primary got no response.

use std::time::Duration;

use http::Request;

use crate::net::body::OutgoingBody;

/// Why a request got no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct RequestError {
    /// Whether the request may have reached the primary: then the outcome of a write is unknown.
    pub may_have_reached: bool,
    /// Whether its time was up; otherwise it could not be sent, or what came was no HTTP response.
    pub timed_out: bool,
    /// The reason for the log, without secrets.
    pub reason: String,
}

/// A request that got no response.
pub struct Unanswered {
    /// Why.
    pub error: RequestError,
    /// The request as it was given, if not a byte of it has been written and it is still here: it may be sent to another address.
    pub unsent: Option<Box<Request<OutgoingBody>>>,
}

/// How long the parts of sending one request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Opening a connection.
    pub connect: Duration,
    /// Connecting, sending and waiting for the head of the response together.
    pub total: Duration,
}

impl SendLimits {
    /// Returns limits without a shorter one for the connection.
    #[must_use]
    pub const fn total(total: Duration) -> Self {
        Self { connect: total, total }
    }
}

impl From<RequestError> for Unanswered {
    fn from(error: RequestError) -> Self {
        Self { error, unsent: None }
    }
}
