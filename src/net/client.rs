//! The way to the primary: Unix socket, http or https, with its connections kept.

use std::path::Path;
use std::time::Duration;

use http::{Request, Response};

use crate::net::message::{Incoming, Outgoing};

/// How a primary is reached. `Clone` shares the connections.
#[derive(Clone)]
pub struct Client {
    _inner: (),
}

/// Why a URL or its certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct BadUrl {
    /// As configured.
    pub url: String,
    /// What is wrong and what to do.
    pub reason: String,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failed {
    /// Whether the request may have reached the primary: then the fate of a write is unknown.
    pub reached: bool,
    /// For the log, without secrets.
    pub reason: String,
}

impl Client {
    /// `http+unix://` (percent-encoded or plain path), `http://` (loopback, or `insecure_http`), `https://` with the system's roots or
    /// `ca_file`. A path in the URL of http and https is a prefix of every request.
    pub fn to(_url: &str, _ca_file: Option<&Path>, _insecure_http: bool) -> Result<Self, BadUrl> {
        todo!()
    }

    /// Sends one request (its URI in origin form) and waits for the head of the answer. Never sends twice, but for a kept connection
    /// that was found closed before a byte of the request was written.
    pub async fn send(&self, _request: Request<Outgoing>, _within: Duration) -> Result<Response<Incoming>, Failed> {
        todo!()
    }

    /// The same on a connection of its own (for the feed: it must not wait behind, or be reused by, anybody).
    pub async fn send_alone(&self, _request: Request<Outgoing>, _within: Duration) -> Result<Response<Incoming>, Failed> {
        todo!()
    }
}
