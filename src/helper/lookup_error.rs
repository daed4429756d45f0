//! Why a key could not be looked up, in a few words for the person who runs the program by hand. None of these is a no.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::wire::authorized_keys::AuthorizedKeyError;

/// The most characters of the daemon's own message that are repeated.
const MAX_MESSAGE_CHARS: usize = 200;

/// Why there is no verdict.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Nothing at the socket's path.
    #[error("there is no socket at this path; is sidegate running?")]
    NoSocket,
    /// A socket that nobody listens on.
    #[error("nobody listens on the socket; is sidegate running?")]
    ConnectionRefused,
    /// The user that runs the program may not open the socket.
    #[error("this user may not open the socket; see its group and mode")]
    PermissionDenied,
    /// The queue of connections stayed full.
    #[error("too many connections wait for sidegate")]
    Busy,
    /// Not all within the time.
    #[error("no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    SocketFailed(Errno),
    /// The connection ended before the answer did.
    #[error("the answer was cut short")]
    Truncated,
    /// Not HTTP, or HTTP whose length is not certain.
    #[error("the answer is not HTTP as we read it")]
    InvalidHttp,
    /// More than is ever needed.
    #[error("the answer is too long")]
    TooLong,
    /// A 200 that is no yes.
    #[error("{0}")]
    InvalidHit(AuthorizedKeyError),
    /// The daemon has rules about who may ask, and this user is not among them.
    #[error("sidegate does not let this user ask; see [[peer]] in its configuration")]
    Forbidden,
    /// Another status, with its message if it had one.
    #[error("sidegate answered {status}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    UnexpectedStatus {
        /// Of HTTP.
        status: u16,
        /// Shortened.
        message: Option<String>,
    },
}

impl LookupError {
    /// The word in the comment's brackets.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Forbidden | Self::PermissionDenied => "not permitted",
            _ => "outage",
        }
    }

    /// Of an answer with a status that is no verdict.
    #[must_use]
    pub fn from_status(status: u16, message: Option<String>) -> Self {
        let message = message.map(|text| text.chars().take(MAX_MESSAGE_CHARS).collect());
        if status == 403 { Self::Forbidden } else { Self::UnexpectedStatus { status, message } }
    }

    /// Of an attempt to connect.
    #[must_use]
    pub const fn from_connect_error(error: Errno) -> Self {
        match error {
            Errno::ENOENT | Errno::ENOTDIR => Self::NoSocket,
            Errno::ECONNREFUSED => Self::ConnectionRefused,
            Errno::EACCES | Errno::EPERM => Self::PermissionDenied,
            Errno::EAGAIN => Self::Busy,
            other => Self::SocketFailed(other),
        }
    }

    /// Of a read or a write that was given until the deadline.
    #[must_use]
    pub fn from_io_error(error: &io::Error, within: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout(within),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Truncated,
            _ => Self::SocketFailed(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)),
        }
    }
}
