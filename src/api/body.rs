//! Reads what a route takes of a request: parameters of query and body, the body's bytes, or nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::api::context::ApiContext;
use crate::api::error::ApiError;
use crate::api::request::RequestBody;
use crate::api::route::BodyKind;
use crate::net::body::{BodyError, IncomingBody};
use crate::net::memory_budget::Reservation;
use crate::net::server::limits::ServerLimits;
use crate::wire::http::decoded_size::{BodyFormat, max_decoded_bytes};
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;
use crate::wire::http::request_target::RequestTarget;

/// A body of at most so many bytes is decoded where it was read.
const MAX_INLINE_BYTES: usize = 16 << 10;

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
    /// Decoding it panicked.
    #[error("{0}")]
    Panicked(String),
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Body(error) => error.into(),
            ReadError::Params(error) => error.into(),
            ReadError::Panicked(detail) => Self::internal(detail),
        }
    }
}

/// Reads what `kind` says, within the bounds of the path and as far as the reservation finds memory: first for the bytes, then for what they
/// are decoded to.
pub async fn read_body(
    kind: BodyKind,
    api: &ApiContext,
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
    let limits = api.limits();
    let body = body.read_reserving(max_body_bytes(&limits, target.segments()), limits.body_time, reservation).await?;
    let params = if kind == BodyKind::RawBytes {
        reserve_decoded(reservation, BodyFormat::Json, &body)?;
        Params::parse(query, None, b"")?
    } else {
        decode(api, query, content_type(headers), &body, reservation).await?
    };
    Ok(ParsedBody { params, body: RequestBody::Buffered(body) })
}

/// Decodes the parameters of query and body, once there is memory for them. A large body is counted and decoded away from the threads that
/// answer; if its caller hangs up meanwhile, its memory is counted until that has ended.
pub async fn decode(
    api: &ApiContext,
    query: Option<&str>,
    content_type: Option<&str>,
    body: &Bytes,
    reservation: &mut Reservation,
) -> Result<Params, ReadError> {
    if body.len() <= MAX_INLINE_BYTES {
        reserve_decoded(reservation, BodyFormat::of(content_type), body)?;
        return Ok(Params::parse(query, content_type, body)?);
    }
    let (query, content_type, body) = (query.map(str::to_owned), content_type.map(str::to_owned), body.clone());
    let mut held = std::mem::replace(reservation, Reservation::unlimited());
    // The semaphore is never closed.
    let permit = Arc::clone(&api.large_bodies).acquire_owned().await;
    let decoding = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let decoded = reserve_decoded(&mut held, BodyFormat::of(content_type.as_deref()), &body)
            .and_then(|()| Ok(Params::parse(query.as_deref(), content_type.as_deref(), &body)?));
        (decoded, held)
    });
    let (decoded, held) = decoding.await.map_err(|panicked| ReadError::Panicked(panicked.to_string()))?;
    *reservation = held;
    decoded
}

fn reserve_decoded(reservation: &mut Reservation, format: BodyFormat, body: &[u8]) -> Result<(), ReadError> {
    Ok(reservation.grow_with(|| max_decoded_bytes(format, body)).map_err(BodyError::from)?)
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
