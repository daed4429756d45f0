//! The server at the address for Prometheus, of any daemon: a thread, connections and limits of its own, so that nobody who reads metrics, or
//! does not, delays an answer.

use std::sync::Arc;
use std::time::Duration;

use crate::api::metrics_endpoint::{MetricsHandler, MetricsSource};
use crate::cli::exit_status::CommandError;
use crate::net::server::http_server::HttpServer;
use crate::net::server::limits::ServerLimits;
use crate::net::server::listen::BoundSocket;

/// The threads that answer: a Prometheus asks a few times a minute.
const THREADS: usize = 1;
/// How many may ask at once: a pair of Prometheus servers, and somebody who looks. One more is answered 503.
const CONNECTIONS: usize = 32;
const HEADER_BYTES: usize = 8 << 10;
/// The time for the head of a request, and how long a connection may be idle: longer than a usual scrape interval.
const HEADER_TIME: Duration = Duration::from_secs(65);
/// How long the last scrape may take when the daemon ends.
const SHUTDOWN_TIME: Duration = Duration::from_secs(1);

/// Starts the server on a socket, if there is one.
pub fn start<S: MetricsSource>(socket: Option<BoundSocket>, source: &Arc<S>) -> Result<Option<HttpServer>, CommandError> {
    let Some(socket) = socket else { return Ok(None) };
    tracing::info!("metrics are read at http://{}/metrics", socket.display_name());
    let handler = Arc::new(MetricsHandler(Arc::clone(source)));
    HttpServer::start(vec![socket], handler, limits(), THREADS, Arc::default()).map(Some).map_err(CommandError::new)
}

fn limits() -> ServerLimits {
    ServerLimits {
        connections: CONNECTIONS,
        connections_for_root: 0,
        header_bytes: HEADER_BYTES,
        header_time: HEADER_TIME,
        shutdown_time: SHUTDOWN_TIME,
        ..ServerLimits::default()
    }
}
