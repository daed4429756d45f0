//! What the server counts about its connections, for the metrics.

use std::sync::atomic::AtomicU64;

/// What the server has counted; plain atomics, read by the metrics.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each name says it")]
pub struct ServerCounters {
    pub connections: AtomicU64,
    pub open_connections: AtomicU64,
    pub refused_connections: AtomicU64,
    pub accept_errors: AtomicU64,
    pub bad_requests: AtomicU64,
}
