//! Ending a connection that is idle without losing a request that is on its way.

use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What had arrived on a connection and was not read when its end was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Unread {
    /// Nothing.
    Nothing,
    /// Bytes, of which the reactor may not have heard yet. More may come.
    Bytes,
    /// Bytes that arrived in the last moment. No more will come.
    LastBytes,
}

/// A connection that can say that it reads no more.
pub trait EndReading {
    /// Looks for bytes that have arrived. If there are none, takes no more from now on: on a Unix socket the client's next write fails
    /// before a byte of it is taken, so the client knows that its request has not been read. Bytes that came just before are found.
    fn end_reading(&mut self) -> Unread;
}

/// Ends reading of a Unix socket.
pub fn end_reading_of_unix(socket: RawFd) -> Unread {
    if look_for_bytes(socket) == Unread::Bytes {
        return Unread::Bytes;
    }
    // It fails only where the client has hung up, and then there is nothing to end.
    let _ = shutdown(socket, Shutdown::Read);
    if look_for_bytes(socket) == Unread::Bytes { Unread::LastBytes } else { Unread::Nothing }
}

impl EndReading for TcpStream {
    /// TCP cannot tell a client whether its bytes were read.
    fn end_reading(&mut self) -> Unread {
        look_for_bytes(self.as_raw_fd())
    }
}

impl EndReading for TlsStream<TcpStream> {
    fn end_reading(&mut self) -> Unread {
        look_for_bytes(self.get_ref().0.as_raw_fd())
    }
}

fn look_for_bytes(socket: RawFd) -> Unread {
    match recv(socket, &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
        Ok(1..) => Unread::Bytes,
        Ok(0) | Err(_) => Unread::Nothing,
    }
}
