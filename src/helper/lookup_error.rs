//! Why a key could not be looked up, in a few words for the person who runs the program by hand. None of these is a denial.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::wire::authorized_keys::AuthorizedKeyError;

/// How many characters of the daemon's own message are repeated at most.
const MAX_MESSAGE_CHARS: usize = 200;

/// Why there is no verdict about a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// There is nothing at the socket's path.
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
    /// The response was not complete in time.
    #[error("no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    SocketFailed(Errno),
    /// The connection ended before a response began.
    #[error("the connection ended before an answer began")]
    NoAnswer,
    /// The connection ended before the response did.
    #[error("the answer was cut short")]
    Truncated,
    /// The response is not HTTP, or its length is ambiguous.
    #[error("the answer is not HTTP as we read it")]
    InvalidHttp,
    /// The response is longer than any valid one.
    #[error("the answer is too long")]
    TooLong,
    /// A response with status 200 that does not confirm the key.
    #[error("{0}")]
    InvalidHit(AuthorizedKeyError),
    /// Neither the default scopes nor a rule of the daemon let this user ask.
    #[error("sidegate does not let this user ask; see default_scopes and [[peer]] in its configuration")]
    Forbidden,
    /// A response with another status.
    #[error("sidegate answered {status}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    UnexpectedStatus {
        /// The status of the response.
        status: u16,
        /// Its message, shortened, if it has one.
        message: Option<String>,
    },
}

impl LookupError {
    /// Returns the category, which the comment on standard output begins with.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Forbidden | Self::PermissionDenied => "not permitted",
            _ => "outage",
        }
    }

    /// Returns whether the daemon was not there, as it is for a moment while it or its socket is restarted. systemd makes a socket as
    /// root's and gives it to its owner and group a moment later.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoSocket | Self::ConnectionRefused | Self::PermissionDenied | Self::NoAnswer)
    }

    /// Returns the error for a response whose status is no verdict.
    #[must_use]
    pub fn from_status(status: u16, message: Option<String>) -> Self {
        let message = message.map(|text| text.chars().take(MAX_MESSAGE_CHARS).collect());
        if status == 403 { Self::Forbidden } else { Self::UnexpectedStatus { status, message } }
    }

    /// Returns the error for an attempt to connect that failed.
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

    /// Returns the error for a read or a write that failed or reached `timeout`.
    #[must_use]
    pub fn from_io_error(error: &io::Error, timeout: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Timeout(timeout),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Truncated,
            _ => Self::SocketFailed(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)),
        }
    }
}
