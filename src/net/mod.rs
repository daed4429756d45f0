//! Carrying: sockets, HTTP, the way to the primary. The only room that names hyper.

pub mod allowance;
pub mod bounds;
pub mod breaker;
pub mod budget;
pub mod client;
mod connect;
mod connection;
pub mod flight;
mod framing;
mod fresh;
mod guard;
mod line;
pub mod listen;
pub mod message;
pub mod notify;
pub mod peer;
pub mod scope;
pub mod server;
mod thread;
mod way;
