//! What a daemon brings to the server: the function that answers a request.

use std::sync::Arc;

use crate::net::message::{Request, Response};

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Runs on the thread of the connection, so whatever blocks must be run elsewhere. The future is dropped
    /// unfinished when the client hangs up.
    fn handle(self: &Arc<Self>, request: Request) -> impl Future<Output = Response>;
}
