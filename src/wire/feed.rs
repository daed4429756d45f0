//! The lines of the feed: commits and heartbeats of `changes`, the lines of a snapshot, the ack. (DESIGN of following)

use serde::{Deserialize, Serialize};

use crate::model::change::{Commit, Epoch};
use crate::model::digest::State;
use crate::model::entry::Entry;

/// The number of the snapshot's format.
pub const FORMAT: u32 = 1;

/// The first line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct SnapshotHead {
    pub format: u32,
    pub epoch: Epoch,
    pub from_seq: u64,
}

/// The last line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct SnapshotEnd {
    pub seq: u64,
    pub state: State,
    pub accept_loss: bool,
}

/// One line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each line is described at its type")]
pub enum SnapshotLine {
    Head(SnapshotHead),
    Record(Entry),
    Commit(Commit),
    End(SnapshotEnd),
}

/// One line of `changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedLine {
    /// A commit.
    Commit(Commit),
    /// Nothing new: where the primary stands.
    Heartbeat {
        /// The head.
        seq: u64,
        /// What it adds up to.
        state: State,
    },
}

/// What a follower says once a change binds in its answers and is flushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the feed's own term")]
pub struct Ack {
    pub epoch: Epoch,
    pub seq: u64,
    pub digest: crate::model::digest::Digest,
    /// Seconds for which the follower may answer keys from data that old.
    pub max_stale: u64,
    pub instance: String,
}

/// Why a line of the feed is refused; names what was wrong, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(pub String);

/// Prints a commit, without a line feed.
#[must_use]
pub fn commit(_commit: &Commit) -> String {
    todo!()
}

/// Prints a heartbeat, without a line feed.
#[must_use]
pub fn heartbeat(_seq: u64, _state: State) -> String {
    todo!()
}

/// Prints the first line of a snapshot.
#[must_use]
pub fn snapshot_head(_head: &SnapshotHead) -> String {
    todo!()
}

/// Prints the last line of a snapshot.
#[must_use]
pub fn snapshot_end(_end: &SnapshotEnd) -> String {
    todo!()
}

/// Reads one line of `changes`.
pub fn read_line(_line: &str) -> Result<FeedLine, BadLine> {
    todo!()
}

/// Reads one line of a snapshot.
pub fn read_snapshot_line(_line: &str) -> Result<SnapshotLine, BadLine> {
    todo!()
}
