//! Carrying: sockets, HTTP, the way to the primary. The only room that names hyper.

pub mod client;
pub mod memory_budget;
pub mod message;
pub mod notify;
pub mod peer;
pub mod server;
