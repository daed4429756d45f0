//! The HTTP/1.1 server: sockets, worker threads, connections, and the handler that a daemon brings.

pub mod certificate;
mod connection;
mod connection_state;
pub mod counters;
mod deferred_stream;
pub mod early_refusals;
mod framing;
pub mod handler;
pub mod http_server;
mod inspected_stream;
pub mod limits;
pub mod listen;
mod listener;
pub mod probe;
mod reading_end;
pub mod socket_alarms;
mod socket_watch;
#[cfg(test)]
mod tests;
mod worker;
