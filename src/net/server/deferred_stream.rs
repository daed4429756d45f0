//! A Unix connection that is registered with the reactor only when it must be waited for.
//!
//! Most clients connect, send one request and hang up, and their request is there when they are accepted. Such a connection is read,
//! answered and closed without ever being registered with epoll: two of seven system calls less. It is registered when the first read
//! finds nothing, or when everything that was read has been dealt with and the connection is still open.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as Unregistered;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use nix::sys::socket::{MsgFlags, getsockopt, recv, send, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::net::peer::Peer;
use crate::net::server::connection_state::ConnectionState;
use crate::net::server::reading_end::{EndReading, Unread, end_reading_of_unix};

/// A connection, registered with the reactor or not yet.
pub struct DeferredStream {
    unregistered: Option<Unregistered>,
    registered: Option<UnixStream>,
    /// The last read left nothing to read.
    drained: bool,
    connection: Rc<ConnectionState>,
}

/// Enough for one head. Whatever comes in larger pieces soon blocks, and is then read by the registered stream.
const FIRST_READ_BYTES: usize = 4096;

impl DeferredStream {
    /// Wraps a stream that was just accepted.
    pub fn new(stream: Unregistered, connection: Rc<ConnectionState>) -> Self {
        Self { unregistered: Some(stream), registered: None, drained: false, connection }
    }

    fn register(&mut self) -> io::Result<Pin<&mut UnixStream>> {
        if let Some(stream) = self.unregistered.take() {
            stream.set_nonblocking(true)?;
            self.registered = Some(UnixStream::from_std(stream)?);
        }
        self.registered.as_mut().map(Pin::new).ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for DeferredStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unregistered.is_some() && self.drained {
            if !self.connection.request_registration() {
                // No waker is stored: the connection polls again before it waits.
                return Poll::Pending;
            }
        } else if let Some(stream) = &self.unregistered {
            let room = buffer.remaining().min(FIRST_READ_BYTES);
            let unfilled = buffer.initialize_unfilled_to(room);
            match recv(stream.as_raw_fd(), unfilled, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    buffer.advance(length);
                    // After the end of the stream (length 0) the next read must find it again.
                    self.drained = length > 0 && length < room;
                    return Poll::Ready(Ok(()));
                }
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.register()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for DeferredStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(stream) = &self.unregistered {
            match send(stream.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(length) => return Poll::Ready(Ok(length)),
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        self.register()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.unregistered {
            Some(stream) => Poll::Ready(stream.shutdown(Shutdown::Write)),
            None => self.register()?.poll_shutdown(context),
        }
    }
}

impl EndReading for DeferredStream {
    fn end_reading(&mut self) -> Unread {
        match (&self.unregistered, &self.registered) {
            (Some(stream), _) => end_reading_of_unix(stream.as_raw_fd()),
            (None, Some(stream)) => end_reading_of_unix(stream.as_raw_fd()),
            (None, None) => Unread::Nothing,
        }
    }
}

/// Returns the credentials of the process that connected, as the kernel recorded them at that moment.
pub fn peer_credentials(stream: &Unregistered) -> io::Result<Peer> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
    Ok(Peer::Unix { uid: credentials.uid(), gid: credentials.gid() })
}
