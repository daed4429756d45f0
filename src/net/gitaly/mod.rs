//! The gRPC client of Gitaly, for its one method that is called here: `RepositoryService.CreateRepository`. The only place that names
//! tonic and prost.
//!
//! [`address`] parses a storage's address, [`connection`] opens one connection to it, [`messages`] is the part of Gitaly's protocol that
//! is used, [`client`] makes the calls, [`error`] says why they fail.

pub mod address;
pub mod client;
mod connection;
pub mod error;
mod messages;
