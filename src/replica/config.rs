//! What a replica is started with, and the pace at which it works.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::freshness::FreshnessLimits;
use crate::model::loss_guard::LossGuard;
use crate::net::client::http_client::HttpClient;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::secret::Secret;

/// Everything a replica is told at its start.
pub struct ReplicaConfig {
    /// The folder of the store; ours alone.
    pub store_path: PathBuf,
    /// How much memory the store may take.
    pub store_options: StoreOptions,
    /// The way to the primary.
    pub feed_client: HttpClient,
    /// What sync tokens are signed with.
    pub sync_secret: Secret,
    /// This host, as the primary lists it.
    pub host: String,
    /// The limits of keys: how long this host may let a revoked key in is told to the primary.
    pub key_limits: FreshnessLimits,
    /// When a snapshot is held back.
    pub loss_guard: LossGuard,
    /// Whether there is a feed.
    pub feed_mode: FeedMode,
    /// How fast.
    pub timing: Timing,
}

/// Whether the primary publishes a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedMode {
    /// `feed = "sidegate"`.
    Follow,
    /// `feed = "none"`: nothing is opened, nothing is known.
    Disabled,
}

/// Times of following. The defaults are what the documentation states; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// No line for so long is a lost connection.
    pub silence_timeout: Duration,
    /// How long a primary may take to begin its answer to `changes` and `ack`.
    pub response_timeout: Duration,
    /// How long it may take to begin a snapshot (it may be building one), and between two pieces of it.
    pub snapshot_timeout: Duration,
    /// The first pause after a lost connection; doubled and jittered after each failure.
    pub initial_backoff: Duration,
    /// The longest pause between two tries to connect.
    pub max_backoff: Duration,
    /// The longest pause between two tries to resync.
    pub max_resync_backoff: Duration,
    /// At most one flush and ack in this time.
    pub ack_interval: Duration,
    /// How often the age file is written.
    pub age_save_interval: Duration,
    /// How long opening a generation may take.
    pub open_timeout: Duration,
    /// How long a replaced generation is kept for the requests that still read it.
    pub replaced_generation_ttl: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence_timeout: Duration::from_secs(15),
            response_timeout: Duration::from_secs(10),
            snapshot_timeout: Duration::from_secs(120),
            initial_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(10),
            max_resync_backoff: Duration::from_secs(300),
            ack_interval: Duration::from_millis(100),
            age_save_interval: Duration::from_secs(30),
            open_timeout: Duration::from_secs(60),
            replaced_generation_ttl: Duration::from_secs(10),
        }
    }
}

/// Why a replica did not start. Damage of the store is never among them.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder is not ours alone, or another process holds it.
    #[error(transparent)]
    Store(#[from] FileError),
    /// No thread or no runtime.
    #[error("the thread that follows the primary did not start: {0}")]
    Thread(std::io::Error),
}
