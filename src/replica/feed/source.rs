//! The feed as a trait: a snapshot, the changes after a cursor, an acknowledgement. The same lines could come over an existing
//! distributed log; [`crate::replica::feed::http_feed`] reads them from the primary itself.

use std::time::Duration;

use tokio::sync::mpsc::Receiver;

use crate::model::change::Head;
use crate::model::coverage::Coverage;
use crate::model::freshness::ProofSource;
use crate::model::time::BootTime;
use crate::replica::feed::line_splitter::LineSplitError;
use crate::wire::directory::feed_lines::{Ack, FeedLine, FeedLineError, SnapshotLine};

/// One line of `changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedLine {
    /// What it says.
    pub line: FeedLine,
    /// When it arrived here.
    pub received_at: BootTime,
    /// When the primary wrote it, at the earliest.
    pub date: LineDate,
}

/// When a line was written at the earliest, on this host's clock, and how that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineDate {
    /// The moment.
    pub at: BootTime,
    /// How it was found.
    pub source: ProofSource,
}

/// The lines of a snapshot, read on a thread that may block. A stream that was cut ends with an error, never silently.
pub type SnapshotLines = Box<dyn Iterator<Item = Result<SnapshotLine, FeedError>> + Send>;

/// The lines of `changes`; ends after its first error. Dropping it ends the connection.
pub type ChangeLines = Receiver<Result<ReceivedLine, FeedError>>;

/// Where the feed comes from.
pub trait FeedSource: Send + Sync + 'static {
    /// Opens the stream of commits after a cursor, and heartbeats.
    fn changes(&self, after: Head) -> impl Future<Output = Result<ChangeLines, FeedError>> + Send;
    /// Opens a snapshot of the whole directory. One whose first line does not say its size may have `unsized_limit` bytes.
    fn snapshot(&self, unsized_limit: u64) -> impl Future<Output = Result<SnapshotLines, FeedError>> + Send;
    /// Returns the kinds of records that the stream that was opened last says are published; `None` where it says nothing.
    fn covers(&self) -> Option<Coverage> {
        None
    }
    /// Acknowledges a state that answers here come from and that is on disk, and tells the kinds of the alarms that stand here.
    fn ack(&self, ack: Ack, alarms: &[&str]) -> impl Future<Output = Result<(), FeedError>> + Send;
}

/// Why there is no feed. No message carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Unreachable(String),
    /// The connection carried no line in time.
    #[error("no line for {} seconds", .0.as_secs_f32())]
    Silent(Duration),
    /// 410: the cursor is older than the journal, or of another epoch. With the primary's present head, if the response names it.
    #[error("the primary no longer has what follows this cursor")]
    CursorGone(Option<Head>),
    /// 409: the cursor is beyond the primary's head, or it had another digest there.
    #[error("the primary does not know the state that this host has followed to")]
    StateMismatch {
        /// The number of the primary's head, if the response names it.
        seq: Option<u64>,
    },
    /// 401 or 403 without a reason: the sync secrets differ, or the clocks do.
    #[error("the primary refuses this host's sync token (status {0}): compare sync_secret_file on both, and the clocks")]
    Forbidden(u16),
    /// 403: the primary refuses this host, and says why.
    #[error("the primary refuses this host: {0}")]
    Refused(String),
    /// The response is no feed, and none of the above.
    #[error("the primary answered {status} instead of the feed: {message}")]
    UnexpectedStatus {
        /// The status of the response.
        status: u16,
        /// The message of the response, cut to a line.
        message: String,
    },
    /// The lines are not understood.
    #[error("the feed cannot be understood: {0}")]
    Malformed(String),
}

impl From<LineSplitError> for FeedError {
    fn from(error: LineSplitError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<FeedLineError> for FeedError {
    fn from(error: FeedLineError) -> Self {
        Self::Malformed(error.to_string())
    }
}
