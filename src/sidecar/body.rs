//! A request's body: unread, or read once and kept, so that looking for a secret in it does not lose it.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};

use crate::net::body::{BodyError, IncomingBody};
use crate::net::message::Response;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::state::SidecarState;
use crate::wire::http::message::encode_message;
use crate::wire::http::params::Params;
use crate::wire::http::params_error::ParamsError;

/// A body.
pub(in crate::sidecar) enum BodyState {
    /// As it arrives.
    Streaming(IncomingBody),
    /// All of it.
    Buffered(Bytes),
}

/// Why parameters are not there.
#[derive(Debug, thiserror::Error)]
pub(in crate::sidecar) enum ReadParamsError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Params(#[from] ParamsError),
}

impl ApiRequest {
    /// The parameters of query and body. The body is kept.
    pub async fn read_params(&mut self, bytes: usize, time: Duration) -> Result<Params, ReadParamsError> {
        let body = match self.take_body() {
            BodyState::Buffered(body) => body,
            BodyState::Streaming(body) => body.read_reserving(bytes, time, &mut self.body_reservation).await?,
        };
        self.body_reservation.grow_with(|| Params::max_memory_bytes(&body)).map_err(BodyError::from)?;
        self.body = BodyState::Buffered(body.clone());
        let content_type = self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Params::parse(self.target.query(), content_type, &body)?)
    }

    /// The parameters of a journey that decodes them, under its bounds; or the answer that says what is wrong.
    pub async fn decode_params(&mut self, house: &SidecarState) -> Result<Params, Response> {
        let limit = self.max_decoded_body_bytes(house);
        self.read_params(limit, house.config.bounds.body_time).await.map_err(|bad| read_error_response(&bad))
    }
}

/// 400, 408, 413 or 503 with what is wrong.
pub(in crate::sidecar) fn read_error_response(bad: &ReadParamsError) -> Response {
    let status = match bad {
        ReadParamsError::Params(bad) => return bad_request_response(&bad.to_string()),
        ReadParamsError::Body(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
        ReadParamsError::Body(BodyError::TimedOut) => StatusCode::REQUEST_TIMEOUT,
        ReadParamsError::Body(BodyError::BudgetExhausted) => StatusCode::SERVICE_UNAVAILABLE,
        ReadParamsError::Body(BodyError::Truncated) => StatusCode::BAD_REQUEST,
    };
    Response::json(status, encode_message(&bad.to_string()))
}

/// 400 with its reason, in the words of the primary's: a path, or a parameter that is missing, wrong or not understood. (server.md 1.2)
pub(in crate::sidecar) fn bad_request_response(reason: &str) -> Response {
    Response::json(StatusCode::BAD_REQUEST, encode_message(&format!("400 Bad request - {reason}")))
}
