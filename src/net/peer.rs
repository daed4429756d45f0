//! Who is at the other end, as the kernel says.

use std::net::SocketAddr;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process on this host: credentials of the moment it connected. Authorise by uid and gid only.
    Unix {
        /// User.
        uid: u32,
        /// Primary group.
        gid: u32,
    },
    /// Over TCP.
    Tcp(SocketAddr),
}
