//! A request's body: unread, or read once and kept, so that looking for a secret in it does not lose it.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};

use crate::net::message::{BodyRefused, Incoming, Reply};
use crate::sidecar::gate::Call;
use crate::sidecar::house::Sidecar;
use crate::wire::answer;
use crate::wire::params::{BadParams, Params};

/// A body.
pub(in crate::sidecar) enum Body {
    /// As it arrives.
    Unread(Incoming),
    /// All of it.
    Read(Bytes),
}

/// Why parameters are not there.
#[derive(Debug, thiserror::Error)]
pub(in crate::sidecar) enum Unreadable {
    #[error(transparent)]
    Body(#[from] BodyRefused),
    #[error(transparent)]
    Params(#[from] BadParams),
}

impl Call {
    /// The parameters of query and body. The body is kept.
    pub async fn params(&mut self, bytes: usize, time: Duration) -> Result<Params, Unreadable> {
        let body = match self.take_body() {
            Body::Read(body) => body,
            Body::Unread(body) => body.read_within(bytes, time, &mut self.room).await?,
        };
        self.room.grow_by(|| Params::weight(&body)).map_err(BodyRefused::from)?;
        self.body = Body::Read(body.clone());
        let content_type = self.parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Params::read(&self.parts.method, self.target.query(), content_type, &body)?)
    }

    /// The parameters of a journey that decodes them, under its bounds; or the answer that says what is wrong.
    pub async fn decoded(&mut self, house: &Sidecar) -> Result<Params, Reply> {
        let limit = self.decoded_limit(house);
        self.params(limit, house.setup.bounds.body_time).await.map_err(|bad| refused(&bad))
    }
}

/// 400, 408, 413 or 503 with what is wrong.
pub(in crate::sidecar) fn refused(bad: &Unreadable) -> Reply {
    let status = match bad {
        Unreadable::Params(bad) => return bad_request(&bad.to_string()),
        Unreadable::Body(BodyRefused::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
        Unreadable::Body(BodyRefused::TooSlow) => StatusCode::REQUEST_TIMEOUT,
        Unreadable::Body(BodyRefused::NoRoom) => StatusCode::SERVICE_UNAVAILABLE,
        Unreadable::Body(BodyRefused::CutOff) => StatusCode::BAD_REQUEST,
    };
    Reply::json(status, answer::message(&bad.to_string()))
}

/// 400 with its reason, in the words of the primary's: a path, or a parameter that is missing, wrong or not understood. (server.md 1.2)
pub(in crate::sidecar) fn bad_request(reason: &str) -> Reply {
    Reply::json(StatusCode::BAD_REQUEST, answer::message(&format!("400 Bad request - {reason}")))
}
