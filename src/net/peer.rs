//! The peer of a connection, as the kernel reports it.

use std::fmt;
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

/// As in logs: `uid 998`, or the address with its port.
impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid, .. } => write!(out, "uid {uid}"),
            Self::Tcp(address) => write!(out, "{address}"),
        }
    }
}
