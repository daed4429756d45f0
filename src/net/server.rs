//! Serving: one single-threaded runtime a core, all accepting from the same sockets; an accept loop that outlives every error.

use std::sync::Arc;

use crate::net::bounds::Bounds;
use crate::net::listen::Listening;
use crate::net::message::{Asked, Reply};

/// Who answers requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers one. Runs on the thread of the connection: whatever blocks goes elsewhere.
    fn answer(self: &Arc<Self>, asked: Asked) -> impl Future<Output = Reply>;
}

/// What the server has counted; plain atomics, read by the metrics.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each name says it")]
pub struct Counted {
    pub connections: std::sync::atomic::AtomicU64,
    pub open: std::sync::atomic::AtomicU64,
    pub refused: std::sync::atomic::AtomicU64,
    pub accept_errors: std::sync::atomic::AtomicU64,
    pub bad_requests: std::sync::atomic::AtomicU64,
}

/// A server that runs. Dropping it does not stop it.
pub struct Server {
    _inner: (),
}

impl Server {
    /// Starts `threads` threads (0: one a core). A request with two lengths, or length and chunked, gets 400 with a `message`;
    /// so does an unreadable one. Beyond `bounds.connections` a connection gets 503 with a message and is closed.
    pub fn start<A: Answer>(
        _sockets: Vec<Listening>,
        _answer: Arc<A>,
        _bounds: Bounds,
        _threads: usize,
        _counted: Arc<Counted>,
    ) -> std::io::Result<Self> {
        todo!()
    }

    /// Stops accepting, lets requests in flight end within `bounds.shutdown_time`, removes the sockets that we made. Blocks.
    pub fn stop(self) {
        todo!()
    }
}
