//! One request as its handler sees it: its caller identified, its body within bounds, its parameters read.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::de::DeserializeOwned;

use crate::api::error::ApiError;
use crate::api::request_id::RequestId;
use crate::model::clock;
use crate::model::time::{BootTime, Time};
use crate::net::body::IncomingBody;
use crate::net::memory_budget::Reservation;
use crate::net::peer::Peer;
use crate::wire::http::params::Params;
use crate::wire::http::request_target::RequestTarget;

/// When a request came: the one reading of the clocks that everything in it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct RequestTime {
    /// The wall clock.
    pub wall: Time,
    /// The clock since the machine's start, which nobody sets.
    pub boot: BootTime,
}

impl RequestTime {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: clock::wall_time(), boot: clock::boot_time() }
    }
}

/// Who calls: also what a sidecar may sign for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular, or whom the handler or the primary has yet to judge.
    Unauthenticated,
    /// A process that may ask about keys without a token: only a question that we write ourselves may be signed for it.
    KeysScope,
    /// Who holds gitlab-shell's secret: whatever they ask may be signed.
    Shell,
    /// A follower.
    Follower(Follower),
    /// KAS, the agents' server.
    Kas,
    /// The operator of this host, or who may read its metrics.
    Operator,
}

/// A follower that showed a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name for itself: the token's subject.
    pub host: Arc<str>,
    /// The version of the secret that signed its token; see the primary's `FollowerAuth`.
    pub secret_version: u64,
}

/// A request's body.
pub enum RequestBody {
    /// As it arrives, for the handler to read.
    Unread(IncomingBody),
    /// All of it.
    Buffered(Bytes),
}

/// A request that has passed the front door.
pub struct ApiRequest {
    /// Its method.
    pub method: Method,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its checked target.
    pub target: RequestTarget,
    /// Who calls.
    pub caller: Caller,
    /// The process or address at the other end.
    pub peer: Peer,
    /// The parameters, as far as the route takes them, without the shared secret.
    pub params: Params,
    /// The body.
    pub body: RequestBody,
    /// Whether the shared secret may stand in query or body. Both are as they came.
    pub may_hold_secret: bool,
    /// Why body and parameters could not be read; only where the route says that the handler judges its caller.
    pub read_error: Option<ApiError>,
    /// The memory that its body takes, of what all callers like this one have together.
    pub reservation: Reservation,
    /// When it came.
    pub time: RequestTime,
    /// Its id in logs, here and wherever it is asked on.
    pub id: RequestId,
}

impl ApiRequest {
    /// Returns the follower that calls. 401 where the route asks for none.
    pub fn follower(&self) -> Result<&Follower, ApiError> {
        match &self.caller {
            Caller::Follower(follower) => Ok(follower),
            _ => Err(ApiError::unauthorized()),
        }
    }

    /// Returns the decoded segments of the path, from after `/api/v4`; `-` first for `/-/…`.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        self.target.segments()
    }

    /// Takes the body, and leaves an empty one.
    pub fn take_body(&mut self) -> RequestBody {
        std::mem::replace(&mut self.body, RequestBody::Buffered(Bytes::new()))
    }

    /// Refuses a request of which body and parameters could not be read, once it is judged who calls.
    pub fn ensure_readable(&self) -> Result<(), ApiError> {
        self.read_error.clone().map_or(Ok(()), Err)
    }

    /// Returns a parameter as text that must be there and not be empty.
    pub fn required_text(&self, name: &str) -> Result<String, ApiError> {
        self.params.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// Returns a parameter as a whole number, if it is there.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, ApiError> {
        match self.params.text(name)? {
            Some(text) => text.parse().map(Some).map_err(|_| ApiError::bad_request(format_args!("{name} is a whole number"))),
            None => Ok(None),
        }
    }

    /// Returns a switch: false if it is not there; true if it is there without a value, as `?prune`.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.params.values.get(name) {
            None => Ok(false),
            Some(value) if value.is_null() || value.as_str() == Some("") => Ok(true),
            Some(_) => Ok(self.params.boolean(name)?.unwrap_or(false)),
        }
    }

    /// Decodes the body as an object of this shape.
    pub fn json_body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        match &self.body {
            RequestBody::Buffered(body) => parse_json_object(body),
            RequestBody::Unread(_) => parse_json_object(b""),
        }
    }
}

/// A list is no object, though its items could stand for the fields in their order.
fn parse_json_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::bad_request("the body is not a JSON object"));
    }
    serde_json::from_slice(body).map_err(ApiError::bad_request)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::parse_json_object;

    #[test]
    fn a_list_of_the_fields_is_not_taken_for_the_object() {
        #[derive(Debug, PartialEq, Eq, Deserialize)]
        struct Shape {
            #[serde(default)]
            one: u8,
        }
        assert_eq!(parse_json_object(b" {\"one\":1} "), Ok(Shape { one: 1 }));
        assert_eq!(parse_json_object(b"{}"), Ok(Shape { one: 0 }));
        for wrong in [&b"[]"[..], b"[1]", b"", b" ", b"null", b"{\"one\":[1]}", b"{}x"] {
            assert!(parse_json_object::<Shape>(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
