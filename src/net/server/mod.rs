//! The HTTP/1.1 server: sockets, worker threads, connections, and the handler that a daemon brings.

pub mod connection;
pub mod connection_state;
pub mod counters;
pub mod deferred_stream;
pub mod framing;
pub mod handler;
pub mod http_server;
pub mod inspected_stream;
pub mod limits;
pub mod listen;
#[cfg(test)]
mod tests;
pub mod worker;
