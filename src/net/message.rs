//! One request as it came, and one response as it goes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::peer::Peer;

/// A request as it came.
pub struct Request {
    /// Who asks.
    pub peer: Peer,
    /// Method, target as in the request line, headers.
    pub parts: http::request::Parts,
    /// The body, unread.
    pub body: IncomingBody,
}

/// An answer.
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its headers; lengths and connection are the server's affair.
    pub headers: HeaderMap,
    /// Its body.
    pub body: OutgoingBody,
}

impl Response {
    /// A JSON answer.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: OutgoingBody::from_bytes(body) }
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: OutgoingBody::from_bytes(Bytes::new()) }
    }

    /// A JSON answer that is only a message for a person.
    #[must_use]
    pub fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "message": message }).to_string())
    }

    /// With one more header (one of the same name is replaced). What cannot stand in a header value becomes `?`.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
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
