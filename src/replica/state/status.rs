//! The status of a replica: for `sidegate status`, for `verify`, and (the same numbers) for the metrics.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::change::Head;
use crate::model::digest::DirectoryDigest;
use crate::model::time::Time;
use crate::replica::state::alarm::ActiveAlarm;

/// The status of a replica. Times are wall time, ages are seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaStatus {
    /// Since when the feed is connected; absent while it is not.
    pub connected_since: Option<Time>,
    /// Since when it is not; absent while it is, and before the first try.
    pub lost_since: Option<Time>,
    /// How the store relates to the feed.
    pub following: FeedRelation,
    /// The kinds of records that the feed publishes; absent where these are all.
    pub covers: Option<Vec<String>>,
    /// The head of the serving generation.
    pub cursor: Option<Head>,
    /// The primary's head, as its last line said.
    pub primary: Option<Head>,
    /// How many commits the cursor is behind that line.
    pub lag: Option<u64>,
    /// Whether count and digest were equal at the last line whose number the store has reached.
    pub digest_equal: Option<bool>,
    /// Seconds since the directory was last proven current; absent if it never was.
    pub age_seconds: Option<f64>,
    /// How the last proof was dated: `exchange`, or `wall_clocks` or `arrival`, which make nothing fresh; absent before the first.
    pub proof: Option<&'static str>,
    /// The random id of the store, by which the primary lists it; absent without a feed.
    pub instance: Option<String>,
    /// The largest bound of this host's configuration, in seconds, as the primary is told.
    pub max_stale_seconds: u64,
    /// The bound that the primary has on disk: what is older is not answered, whatever the configuration says.
    pub confirmed_max_stale_seconds: u64,
    /// Whether the feed was caught up when contact was last lost, or is now.
    pub caught_up: bool,
    /// Whether a scan has found all records of the store intact: only then may a denial be answered from it.
    pub whole: bool,
    /// The number of records of each kind.
    pub counts: BTreeMap<String, u64>,
    /// The number of records that a newer primary sent and this program does not wholly understand.
    pub foreign: u64,
    /// How many places of repositories two records lead to: neither of these records is answered.
    pub shared_repositories: u64,
    /// How many records have a field that breaks its grammar, and answer nothing; absent until the store was read through.
    pub invalid_records: Option<u64>,
    /// Changes that bind here and that the store could not take; absent if there are none.
    pub unstored: Option<UnstoredStatus>,
    /// The folder of the serving generation, if it was loaded since the start.
    pub generation: Option<String>,
    /// The size of the serving generation on disk, in bytes.
    pub store_bytes: u64,
    /// The last head that is on disk.
    pub flushed: Option<Head>,
    /// The last head that the primary has taken an acknowledgement of.
    pub acknowledged: Option<Head>,
    /// The last error.
    pub last_error: Option<LastError>,
    /// The active alarms.
    pub alarms: Vec<ActiveAlarm>,
    /// Why a snapshot is being fetched, while one is.
    pub resyncing: Option<String>,
    /// Since when.
    pub resyncing_since: Option<Time>,
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
    /// The store takes no more changes; a snapshot is fetched once there is room for it.
    StoreFailed,
}

/// Changes that restrict and that the store could not take. They bind in answers; the host is not fresh and acknowledges nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnstoredStatus {
    /// Since when there are some.
    pub since: Time,
    /// How many are known.
    pub changes: u64,
    /// Whether these are all. If not, nothing is answered from here without the primary.
    pub complete: bool,
    /// Whether they bind again after a restart. If not, nothing is answered from here without the primary then.
    pub survives_restart: bool,
}

/// An error, and how often it came in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// What went wrong, for a person.
    pub message: String,
    /// When it came first.
    pub since: Time,
    /// When it came last.
    pub last: Time,
    /// How often it came.
    pub times: u64,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReplicaCounters {
    /// Connections that were made.
    pub connects: u64,
    /// Connections that were lost.
    pub disconnects: u64,
    /// Commits that arrived.
    pub commits: u64,
    /// Changes of those commits.
    pub changes: u64,
    /// Heartbeats that arrived.
    pub heartbeats: u64,
    /// How often the sums began to differ.
    pub drifts: u64,
    /// Snapshots that were begun.
    pub snapshots_tried: u64,
    /// New generations that took over.
    pub resyncs: u64,
    /// Stores that were put into quarantine.
    pub quarantines: u64,
    /// Alarms that were raised, repetitions not counted.
    pub alarms: u64,
}

/// What a scan of the store found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// What the records that were read add up to.
    pub scanned: DirectoryDigest,
    /// What the store says that they add up to.
    pub stored: DirectoryDigest,
    /// The primary's head, if its number is that of the store.
    pub primary: Option<Head>,
    /// The result of comparing the three.
    pub finding: VerifyResult,
}

/// The result of a scan of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyResult {
    /// All three are equal.
    Equal,
    /// Records are missing or damaged on disk; the store is put into quarantine and rebuilt.
    Damaged,
    /// The store is intact and differs from the primary; it is rebuilt.
    Unlike,
    /// The store is intact; no line of the primary with its number was heard.
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
