//! Transport: sockets, the HTTP server, the HTTP client to the primary, the gRPC client to Gitaly, and
//! systemd. The only module that names hyper and tonic.

pub mod body;
pub mod client;
pub mod gitaly;
pub mod log_limiter;
pub mod memory_budget;
pub mod message;
pub mod notify;
pub mod peer;
pub mod server;
#[cfg(test)]
mod tests;
