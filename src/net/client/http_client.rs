//! The HTTP client to the primary: over a Unix socket, http or https, with its connections kept for the next request.
//!
//! A request is written once. It is sent again only where an idle connection was found closed and not a byte of it had been written.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use http::{Request, Response};
use tokio::task::JoinHandle;

use crate::net::body::{IncomingBody, OutgoingBody};
use crate::net::client::connection_pool::{ConnectionPool, Pooling};
use crate::net::client::connector::Connector;
use crate::net::client::primary_url::PrimaryUrl;
use crate::net::client::request_error::{RequestError, SendLimits, Unanswered};

/// Sends requests to one primary. `Clone` shares the connections.
#[derive(Clone)]
pub struct HttpClient {
    pub(super) pool: Arc<ConnectionPool>,
}

/// Why a URL or its certificate file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct InvalidUrl {
    /// The URL as configured, without a password.
    pub url: String,
    /// What is wrong and what to do.
    pub reason: String,
}

impl HttpClient {
    /// Returns a client for a URL: `http+unix://` (percent-encoded or plain path), `http://` (loopback, or `insecure_http`), `https://` with the system's roots or
    /// `ca_file`. A path in the URL of http and https is a prefix of every request.
    pub fn new(url: &str, ca_file: Option<&Path>, insecure_http: bool) -> Result<Self, InvalidUrl> {
        let invalid = |reason| InvalidUrl { url: redact_password(url), reason };
        let primary_url = PrimaryUrl::parse(url, insecure_http).map_err(invalid)?;
        let (host, prefix) = match &primary_url {
            PrimaryUrl::Unix(_) => (HeaderValue::from_static("unix"), String::new()),
            PrimaryUrl::Http { host, prefix, .. } => (host.clone(), prefix.clone()),
        };
        let connector = Connector::new(primary_url, ca_file).map_err(invalid)?;
        let pool = ConnectionPool::start(connector, host, prefix)
            .map_err(|error| invalid(format!("cannot start the thread for its connections: {error}")))?;
        Ok(Self { pool: Arc::new(pool) })
    }

    /// Sends one request (its URI in origin form) and returns the head of the response; `time_limit` bounds connecting, sending and
    /// waiting together. A request is sent twice only if an idle connection was found closed before a byte of it was written. Dropping
    /// the future cancels the request.
    pub async fn send(&self, request: Request<OutgoingBody>, time_limit: Duration) -> Result<Response<IncomingBody>, RequestError> {
        self.dispatch(request, SendLimits::total(time_limit), Pooling::Pooled).await.map_err(|unanswered| unanswered.error)
    }

    /// Sends one request as [`Self::send`] does. Gives it back if it surely has not been sent, so that it can be sent to another address.
    pub async fn send_or_return(&self, request: Request<OutgoingBody>, limits: SendLimits) -> Result<Response<IncomingBody>, Unanswered> {
        self.dispatch(request, limits, Pooling::Pooled).await
    }

    /// Returns the URL of the primary for messages: without a trailing `/`, and a socket by its path.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.pool.display_name()
    }

    /// Sends one request as [`Self::send`] does, on a connection of its own: the feed must neither wait behind others nor be waited for.
    pub async fn send_unpooled(
        &self,
        request: Request<OutgoingBody>,
        time_limit: Duration,
    ) -> Result<Response<IncomingBody>, RequestError> {
        self.dispatch(request, SendLimits::total(time_limit), Pooling::Dedicated).await.map_err(|unanswered| unanswered.error)
    }

    async fn dispatch(
        &self,
        mut request: Request<OutgoingBody>,
        limits: SendLimits,
        pooling: Pooling,
    ) -> Result<Response<IncomingBody>, Unanswered> {
        let uri = request.uri().clone();
        self.pool.set_target(&mut request)?;
        let pool = Arc::clone(&self.pool);
        let mut task = AbortOnDrop(self.pool.runtime.spawn(async move { pool.execute(request, limits, pooling).await }));
        let response = (&mut task.0).await.unwrap_or_else(|_| {
            Err(RequestError { may_have_reached: true, timed_out: false, reason: "the request was given up".into() }.into())
        });
        let response = response.map_err(|mut unanswered| {
            if let Some(unsent) = &mut unanswered.unsent {
                *unsent.uri_mut() = uri;
            }
            unanswered
        })?;
        let connection_owner: Arc<dyn Any + Send + Sync> = Arc::clone(&self.pool) as _;
        Ok(response.map(|body| IncomingBody::streaming(body, Some(connection_owner))))
    }
}

/// A request in flight, cancelled when dropped.
struct AbortOnDrop(JoinHandle<Result<Response<hyper::body::Incoming>, Unanswered>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the URL with `…` in the place of a user and a password.
fn redact_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if !url.starts_with("http+unix") && at > scheme => {
            format!("{}…{}", url.get(..scheme + 3).unwrap_or_default(), url.get(at..).unwrap_or_default())
        }
        _ => url.to_owned(),
    }
}
