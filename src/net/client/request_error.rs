//! Why a request to the primary got no response.

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
