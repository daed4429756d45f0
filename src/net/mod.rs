//! Transport: sockets, the HTTP server, the HTTP client to the primary, and systemd. The only module that names hyper.

pub mod body;
pub mod client;
pub mod memory_budget;
pub mod message;
pub mod notify;
pub mod peer;
pub mod server;
#[cfg(test)]
mod tests;
