//! What a replica says of itself: to `sidegate status`, to `verify`, and (the same numbers) to the metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::change::Head;
use crate::model::digest::DirectoryDigest;
use crate::model::time::Time;
use crate::replica::alarm::ActiveAlarm;

/// How a replica stands. Times are wall time, ages seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaStatus {
    /// Since when the feed is connected; absent while it is not.
    pub connected_since: Option<Time>,
    /// Since when it is not; absent while it is, and before the first try.
    pub lost_since: Option<Time>,
    /// How the store relates to the feed.
    pub following: FeedRelation,
    /// Where the serving generation stands.
    pub cursor: Option<Head>,
    /// The last line of the primary.
    pub primary: Option<Head>,
    /// How many commits the cursor is behind that line.
    pub lag: Option<u64>,
    /// Whether count and digest were equal at the last line whose number the store has reached.
    pub digest_equal: Option<bool>,
    /// Seconds since the directory was last proven current; absent if it never was.
    pub age_seconds: Option<f64>,
    /// Whether the feed was caught up when contact was last lost, or is now.
    pub caught_up: bool,
    /// Whether a scan has found the store whole: only then a no may be said from it.
    pub whole: bool,
    /// Records of each kind.
    pub counts: BTreeMap<String, u64>,
    /// Records that a newer primary sent and this program does not wholly understand.
    pub foreign: u64,
    /// The folder of the serving generation, if it was loaded since the start.
    pub generation: Option<String>,
    /// Bytes on disk.
    pub store_bytes: u64,
    /// The last state that is on disk.
    pub flushed: Option<Head>,
    /// The last state that the primary took our word for.
    pub acknowledged: Option<Head>,
    /// What went wrong last.
    pub last_error: Option<LastError>,
    /// What an operator must look at.
    pub alarms: Vec<ActiveAlarm>,
    /// Why a snapshot is being fetched, while one is.
    pub resyncing: Option<String>,
    /// What has happened since the start.
    pub counted: ReplicaCounters,
}

/// How the store relates to the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedRelation {
    /// There is no store to follow with.
    #[default]
    Nothing,
    /// Equal at the cursor.
    True,
    /// The sums differ; a snapshot is fetched.
    Drifted,
    /// The primary no longer has what follows the cursor; a snapshot is fetched.
    Lost,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What.
    pub message: String,
    /// Since when it has been going wrong in this way.
    pub since: Time,
    /// When it did last.
    pub last: Time,
    /// How often.
    pub times: u64,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each name says it")]
pub struct ReplicaCounters {
    pub connects: u64,
    pub disconnects: u64,
    pub commits: u64,
    pub changes: u64,
    pub heartbeats: u64,
    pub drifts: u64,
    pub snapshots_tried: u64,
    pub resyncs: u64,
    pub quarantines: u64,
    pub alarms: u64,
}

/// What a scan of the store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What was read.
    pub scanned: DirectoryDigest,
    /// What the store says of itself.
    pub stored: DirectoryDigest,
    /// The last line of the primary, if its number is that of the store.
    pub primary: Option<Head>,
    /// What follows from it.
    pub finding: VerifyResult,
}

/// What follows from a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyResult {
    /// Read, stored and published are one.
    Equal,
    /// Records are missing or damaged on disk; the store is put into quarantine and rebuilt.
    Damaged,
    /// The store is whole and unlike the primary; it is rebuilt.
    Unlike,
    /// The store is whole; the primary has not been heard at its number.
    PrimaryNotHeard,
}

/// Why nothing could be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// There is no store.
    #[error("there is no store to verify: {0}")]
    NoStore(String),
    /// The replica is being stopped.
    #[error("the daemon is stopping")]
    Stopping,
}
