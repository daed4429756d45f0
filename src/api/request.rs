//! One request as its handler sees it: identified, under its bounds, its parameters read.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use crate::api::error::ApiError;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::net::body::IncomingBody;
use crate::net::peer::Peer;
use crate::wire::http::params::Params;

/// How a route is to be identified, before anything else of the request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAuth {
    /// gitlab-shell's token, or on Unix sockets the shared secret. (server.md 1.1)
    Shell,
    /// A follower's token.
    Follower,
    /// KAS's token.
    Kas,
    /// Root or our own user, on the Unix socket, not passed on by anybody.
    Admin,
    /// Root or our own user, on the Unix socket: the metrics.
    Metrics,
    /// The handler judges tokens of its own, and then asks whether the request could be read: [`Call::whole`].
    InHandler,
    /// Anybody.
    None,
}

/// What a route does with the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Parameters, of ordinary size.
    Parameters,
    /// Parameters, with the changes of a push among them.
    PushParameters,
    /// Bytes that the handler reads itself ([`Call::body`]), of ordinary size; parameters come from the query only.
    RawBytes,
    /// A stream that the handler reads itself ([`Call::stream`]); parameters come from the query only.
    Stream,
}

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody in particular, or whom the handler has yet to judge.
    Unauthenticated,
    /// Who holds gitlab-shell's secret.
    Shell,
    /// A follower.
    Follower(Follower),
    /// KAS, the agents' server.
    Kas,
    /// Root or our own user.
    Operator,
}

/// A follower that showed a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name for itself: the token's subject.
    pub host: Arc<str>,
    /// Under which secret; see [`crate::primary::replication::follower_auth`].
    pub secret_version: u64,
}

/// A request.
pub struct ApiRequest {
    /// Who calls.
    pub caller: Caller,
    /// The parameters, without `secret_token`.
    pub params: Params,
    /// Why body and parameters could not be read; only where the route declares [`Auth::Own`].
    pub read_error: Option<ApiError>,
    /// The body as it came; empty where the route takes a stream.
    pub body: Bytes,
    /// The body unread, where the route takes a stream.
    pub stream: Option<IncomingBody>,
    /// The other end.
    pub peer: Peer,
    /// The headers.
    pub headers: HeaderMap,
    /// The decoded segments of the path, from after `/api/v4`; `-` first for `/-/…`.
    pub segments: Vec<String>,
    /// The wall clock when the request came.
    pub now: Time,
}

impl ApiRequest {
    /// The follower that calls; only where the route declares [`Auth::Sync`].
    pub fn follower(&self) -> Result<&Follower, ApiError> {
        match &self.caller {
            Caller::Follower(follower) => Ok(follower),
            _ => Err(ApiError::unauthorized()),
        }
    }

    /// Refuses a request of which body and parameters could not be read, once it is judged who calls.
    pub fn ensure_readable(&self) -> Result<(), ApiError> {
        self.read_error.clone().map_or(Ok(()), Err)
    }

    /// A parameter as text that must be there and not be empty.
    pub fn required_text(&self, name: &str) -> Result<String, ApiError> {
        self.params.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// A parameter as an id that must be there.
    pub fn required_id(&self, name: &str) -> Result<Id, ApiError> {
        self.params.id(name)?.ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// A parameter as a whole number, if it is there.
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, ApiError> {
        match self.params.text(name)? {
            Some(text) => text.parse().map(Some).map_err(|_| ApiError::bad_request(format_args!("{name} is a whole number"))),
            None => Ok(None),
        }
    }

    /// A switch: false if it is not there; there without a value (`?prune`) it is true.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.params.values.get(name) {
            None => Ok(false),
            Some(value) if value.is_null() || value.as_str() == Some("") => Ok(true),
            Some(_) => Ok(self.params.boolean(name)?.unwrap_or(false)),
        }
    }

    /// The body as an object of this shape.
    pub fn json_body<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        parse_json_object(&self.body)
    }

    /// One header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
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
