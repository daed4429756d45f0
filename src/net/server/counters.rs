//! What the server counts about its connections, for the metrics.

use std::sync::atomic::AtomicU64;

use crate::net::server::early_refusals::EarlyRefusals;
use crate::net::server::socket_alarms::SocketAlarms;

/// Counters of the server: connections accepted, open now, refused for lack of room, failed accepts, and requests answered with 400;
/// what was refused before a handler saw it, by reason; and the sockets that no client finds.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is described at the struct")]
pub struct ServerCounters {
    pub connections: AtomicU64,
    pub open_connections: AtomicU64,
    pub refused_connections: AtomicU64,
    pub accept_errors: AtomicU64,
    pub bad_requests: AtomicU64,
    pub early_refusals: EarlyRefusals,
    pub sockets: SocketAlarms,
}
