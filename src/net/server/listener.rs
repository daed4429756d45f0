//! One worker thread's handle of a listening socket: accepting while connections come, and taking over what is left in the queue.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{Shutdown, shutdown};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::net::server::listen::{ListenSocket, SocketOrigin, register_listener};

/// A listening socket that is registered with the reactor of its thread.
pub struct Listener {
    socket: RegisteredSocket,
    /// Who made it.
    pub origin: SocketOrigin,
}

enum RegisteredSocket {
    Unix(AsyncFd<UnixListener>),
    Tcp(TcpListener, Option<TlsAcceptor>),
}

/// A connection that was accepted.
pub enum Accepted {
    /// From a Unix socket; not registered with the reactor yet.
    Unix(UnixStream),
    /// From a TCP socket, with its address, and with what accepts TLS if the socket has it.
    Tcp(TcpStream, SocketAddr, Option<TlsAcceptor>),
}

impl Listener {
    /// Registers a socket with the reactor of this thread.
    pub fn register(socket: ListenSocket, origin: SocketOrigin) -> io::Result<Self> {
        let socket = match socket {
            ListenSocket::Unix(listener) => RegisteredSocket::Unix(register_listener(listener)?),
            ListenSocket::Tcp(listener, tls) => RegisteredSocket::Tcp(TcpListener::from_std(listener)?, tls.map(TlsAcceptor::from)),
        };
        Ok(Self { socket, origin })
    }

    /// Waits for the next connection.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            RegisteredSocket::Unix(listener) => {
                let accepted = listener.async_io(Interest::READABLE, UnixListener::accept).await;
                accepted.map(|(stream, _)| Accepted::Unix(stream))
            }
            RegisteredSocket::Tcp(listener, tls) => listener.accept().await.map(|(stream, from)| Accepted::Tcp(stream, from, tls.clone())),
        }
    }

    /// Accepts a connection that is in the queue at this moment; `None` if there is none. The kernel is asked, because the reactor may not
    /// have heard of it yet.
    pub fn accept_queued(&self) -> io::Result<Option<Accepted>> {
        let accepted = match &self.socket {
            RegisteredSocket::Unix(listener) => listener.get_ref().accept().map(|(stream, _)| Accepted::Unix(stream)),
            RegisteredSocket::Tcp(listener, tls) => accept_tcp(listener).map(|(stream, from)| Accepted::Tcp(stream, from, tls.clone())),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            // The latter is what a Unix socket that refuses connections may say of an empty queue.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets the kernel refuse whoever comes from now on, at all handles of a Unix socket. What is in its queue can still be accepted. A TCP
    /// socket would lose its queue, so it goes on until its last handle is closed.
    pub fn refuse_newcomers(&self) {
        if let RegisteredSocket::Unix(listener) = &self.socket
            && let Err(error) = shutdown(listener.as_raw_fd(), Shutdown::Read)
        {
            tracing::warn!(%error, "failed to end the queue of a socket: {error}; whoever connects at this moment is not answered");
        }
    }
}

fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let listener = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned()?);
    let (stream, from) = listener.accept()?;
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, from))
}
