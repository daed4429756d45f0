//! What a daemon brings to the server: the function that answers a request.

use std::sync::Arc;

use crate::net::message::{Request, Response};

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Runs on the thread of the connection, so whatever blocks must be run elsewhere. The future is dropped
    /// unfinished when the client hangs up.
    fn handle(self: &Arc<Self>, request: Request) -> impl Future<Output = Response>;

    /// Makes one look-up of the daemon's own as [`Self::handle`] would be asked for it, on a thread that answers, and asks no other host for
    /// it. Whatever was found: that it ends shows that this thread answers.
    fn probe(self: &Arc<Self>) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}
