//! What a daemon brings to the server: the function that answers a request.

use std::sync::Arc;

use crate::net::message::{Request, Response};

/// Who answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one. Runs on the thread of the connection: whatever blocks goes elsewhere. Dropped unfinished when the asker hangs up.
    fn handle(self: &Arc<Self>, asked: Request) -> impl Future<Output = Response>;
}
