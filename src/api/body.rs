//! Reads what a route takes of a request: parameters of query and body, the body's bytes, or nothing.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::api::error::ApiError;
use crate::api::request::RequestBody;
use crate::api::route::BodyKind;
use crate::net::body::{BodyError, IncomingBody};
use crate::net::memory_budget::Reservation;
use crate::net::server::limits::ServerLimits;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;
use crate::wire::http::request_target::RequestTarget;

/// What was read.
pub struct ParsedBody {
    /// The parameters, as far as the route takes them.
    pub params: Params,
    /// The body, read or not.
    pub body: RequestBody,
}

impl ParsedBody {
    /// Returns that of a request that could not be read.
    #[must_use]
    pub fn empty() -> Self {
        Self { params: Params::default(), body: RequestBody::Buffered(Bytes::new()) }
    }
}

/// Why body or parameters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The body did not arrive, or not within its bounds.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The parameters are malformed.
    #[error(transparent)]
    Params(#[from] ParamsError),
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Body(error) => error.into(),
            ReadError::Params(error) => error.into(),
        }
    }
}

/// Reads what `kind` says, within the bounds of the path and as far as the reservation finds memory.
pub async fn read_body(
    kind: BodyKind,
    limits: &ServerLimits,
    target: &RequestTarget,
    headers: &HeaderMap,
    body: IncomingBody,
    reservation: &mut Reservation,
) -> Result<ParsedBody, ReadError> {
    let query = match kind {
        BodyKind::Unread => None,
        BodyKind::Parameters | BodyKind::RawBytes | BodyKind::Stream => target.query(),
    };
    if matches!(kind, BodyKind::Unread | BodyKind::Stream) {
        return Ok(ParsedBody { params: Params::parse(query, None, b"")?, body: RequestBody::Unread(body) });
    }
    let body = body.read_reserving(max_body_bytes(limits, target.segments()), limits.body_time, reservation).await?;
    reservation.grow_with(|| Params::max_memory_bytes(&body)).map_err(BodyError::from)?;
    let params = match kind {
        BodyKind::RawBytes => Params::parse(query, None, b"")?,
        _ => Params::parse(query, content_type(headers), &body)?,
    };
    Ok(ParsedBody { params, body: RequestBody::Buffered(body) })
}

/// Returns the `Content-Type` of a request, if it is text.
#[must_use]
pub fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// The changes of a push make `allowed` and `post_receive` larger than anything else that is decoded.
fn max_body_bytes(limits: &ServerLimits, segments: &[String]) -> usize {
    match segments {
        [first, second] if first == "internal" && (second == "allowed" || second == "post_receive") => limits.pushed_body_bytes,
        _ => limits.decoded_body_bytes,
    }
}
