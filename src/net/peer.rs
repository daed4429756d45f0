//! The peer of a connection, as the kernel reports it.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this host, by its credentials at the moment it connected. Authorise by uid and gid only.
    Unix {
        /// The user id.
        uid: u32,
        /// The primary group id.
        gid: u32,
    },
    /// A client over TCP, by its address and port.
    Tcp(SocketAddr),
}
