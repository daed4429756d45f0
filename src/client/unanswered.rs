//! Why a key could not be looked up, in a few words for the person who runs the program by hand. None of these is a no.

use std::io;
use std::time::Duration;

use nix::errno::Errno;

use crate::wire::authorized_keys::NotAHit;

/// The most characters of the daemon's own message that are repeated.
const MESSAGE: usize = 200;

/// Why there is no verdict.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// Nothing at the socket's path.
    #[error("there is no socket at this path; is sidegate running?")]
    NoSocket,
    /// A socket that nobody listens on.
    #[error("nobody listens on the socket; is sidegate running?")]
    Refused,
    /// The user that runs the program may not open the socket.
    #[error("this user may not open the socket; see its group and mode")]
    Closed,
    /// The queue of connections stayed full.
    #[error("too many connections wait for sidegate")]
    Busy,
    /// Not all within the time.
    #[error("no whole answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Failed(Errno),
    /// The connection ended before the answer did.
    #[error("the answer was cut short")]
    Cut,
    /// Not HTTP, or HTTP whose length is not certain.
    #[error("the answer is not HTTP as we read it")]
    NotHttp,
    /// More than is ever needed.
    #[error("the answer is too long")]
    TooLong,
    /// A 200 that is no yes.
    #[error("{0}")]
    Wrong(NotAHit),
    /// The daemon has rules about who may ask, and this user is not among them.
    #[error("sidegate does not let this user ask; see [[peer]] in its configuration")]
    NotPermitted,
    /// Another status, with its message if it had one.
    #[error("sidegate answered {status}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Status {
        /// Of HTTP.
        status: u16,
        /// Shortened.
        message: Option<String>,
    },
}

impl Unanswered {
    /// The word in the comment's brackets.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotPermitted | Self::Closed => "not permitted",
            _ => "outage",
        }
    }

    /// Of an answer with a status that is no verdict.
    #[must_use]
    pub fn status(status: u16, message: Option<String>) -> Self {
        let message = message.map(|text| text.chars().take(MESSAGE).collect());
        if status == 403 { Self::NotPermitted } else { Self::Status { status, message } }
    }

    /// Of an attempt to connect.
    #[must_use]
    pub const fn connecting(error: Errno) -> Self {
        match error {
            Errno::ENOENT | Errno::ENOTDIR => Self::NoSocket,
            Errno::ECONNREFUSED => Self::Refused,
            Errno::EACCES | Errno::EPERM => Self::Closed,
            Errno::EAGAIN => Self::Busy,
            other => Self::Failed(other),
        }
    }

    /// Of a read or a write that was given until the deadline.
    #[must_use]
    pub fn moving(error: &io::Error, within: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late(within),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Cut,
            _ => Self::Failed(error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)),
        }
    }
}
