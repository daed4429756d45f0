//! The bounds of the server and of the endpoints behind it, each by its name.

use std::time::Duration;

/// The most threads of a server for what blocks, over all its workers. A disk that hangs holds as many as there are writes that wait for it;
/// with the workers and the threads beside requests they are fewer than `TasksMax=` of the units, so that no thread fails to start.
pub const MAX_BLOCKING_THREADS: usize = 128;

/// Returns how many of them each of so many workers has; at least one.
#[must_use]
pub const fn blocking_threads(workers: usize) -> usize {
    match MAX_BLOCKING_THREADS.checked_div(workers) {
        Some(0) | None => 1,
        Some(threads) => threads,
    }
}

/// How much one daemon accepts. Each bound and its default is documented in the sample configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says it")]
pub struct ServerLimits {
    pub connections: usize,
    /// Of `connections`, reserved for root.
    pub connections_for_root: usize,
    pub header_bytes: usize,
    pub headers: usize,
    pub decoded_body_bytes: usize,
    pub pushed_body_bytes: usize,
    pub passed_body_bytes: usize,
    /// For all unauthenticated callers together.
    pub unproven_body_bytes: usize,
    /// For all authenticated callers together, as the bodies arrive and as they are decoded; one request may hold half.
    pub proven_body_bytes: usize,
    pub header_time: Duration,
    pub body_time: Duration,
    pub requests_per_connection: u64,
    pub forwards: usize,
    pub forwards_waiting: usize,
    pub shutdown_time: Duration,
}

impl ServerLimits {
    /// Returns these bounds with those of `next` that a running server can take over. The others are built into what runs: the clocks of
    /// connections, and the slots of requests to the primary.
    #[must_use]
    pub const fn reloaded(self, next: Self) -> Self {
        let Self { header_time, body_time, forwards, forwards_waiting, .. } = self;
        Self { header_time, body_time, forwards, forwards_waiting, ..next }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_for_root: 32,
            header_bytes: 32 << 10,
            headers: 100,
            decoded_body_bytes: 1 << 20,
            pushed_body_bytes: 16 << 20,
            passed_body_bytes: 64 << 20,
            unproven_body_bytes: 64 << 20,
            proven_body_bytes: 256 << 20,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(60),
            requests_per_connection: 100_000,
            forwards: 256,
            forwards_waiting: 1024,
            shutdown_time: Duration::from_secs(10),
        }
    }
}
