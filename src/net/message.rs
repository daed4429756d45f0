//! One request as it came, and one response as it goes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::peer::Peer;

/// A request whose head has arrived.
pub struct Request {
    /// The peer of the connection.
    pub peer: Peer,
    /// The method, the target as in the request line, and the headers.
    pub parts: http::request::Parts,
    /// The body, unread.
    pub body: IncomingBody,
}

impl Request {
    /// Returns a request of the daemon's own to itself: `GET` of a path, as this user.
    #[must_use]
    pub fn own(path: &'static str) -> Self {
        let mut request = http::Request::new(());
        *request.uri_mut() = http::Uri::from_static(path);
        let (parts, ()) = request.into_parts();
        let peer = Peer::Unix { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
        Self { peer, parts, body: IncomingBody::empty() }
    }
}

/// A response.
pub struct Response {
    /// The status code.
    pub status: StatusCode,
    /// The headers; the server sets `Content-Length`, `Transfer-Encoding` and `Connection`.
    pub headers: HeaderMap,
    /// The body.
    pub body: OutgoingBody,
}

impl Response {
    /// Returns a JSON response.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self { status, headers, body: OutgoingBody::from_bytes(body) }
    }

    /// Returns a response without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: OutgoingBody::from_bytes(Bytes::new()) }
    }

    /// Returns a JSON response that is only a `message` for a person.
    #[must_use]
    pub fn message(status: StatusCode, message: &str) -> Self {
        Self::json(status, serde_json::json!({ "message": message }).to_string())
    }

    /// Sets a header, replacing one of the same name. Characters that a header value cannot have become `?`.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).or_else(|_| {
            let sanitize = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' };
            HeaderValue::from_str(&value.chars().map(sanitize).collect::<String>())
        });
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            self.headers.insert(name, value);
        }
        self
    }
}
