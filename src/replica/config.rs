//! What a replica is started with, with its delays and timeouts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::coverage::Coverage;
use crate::model::loss_guard::LossGuard;
use crate::model::revocation_listener::RevocationListener;
use crate::net::client::http_client::HttpClient;
use crate::store::files::folder::FileError;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::secret::Secret;

/// Everything that a replica is started with.
pub struct ReplicaConfig {
    /// The folder of the store, which no other process may use.
    pub store_path: PathBuf,
    /// How much memory the store may take.
    pub store_options: StoreOptions,
    /// The client to the primary.
    pub feed_client: HttpClient,
    /// The secret that sync tokens are signed with.
    pub sync_secret: Secret,
    /// The name of this host, as the primary lists it.
    pub host: String,
    /// The longest that any class of answers may be given from data that is not current: the primary is told for how long this host may
    /// still say yes after a revocation.
    pub longest_max_stale: Duration,
    /// Which loss of keys is held until an operator accepts it.
    pub loss_guard: LossGuard,
    /// Whether a feed is followed.
    pub feed_mode: FeedMode,
    /// What a feed covers that does not say it.
    pub unsaid_coverage: Coverage,
    /// Who keeps answers beside the directory; `None` where nobody does.
    pub revocations: Option<Arc<dyn RevocationListener>>,
    /// The delays and timeouts.
    pub timing: Timing,
}

/// Whether a feed is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedMode {
    /// The primary's, or that of `[feed] url`.
    Follow,
    /// None: no store is opened, and nothing is answered from one.
    Disabled,
}

/// The delays and timeouts of a replica. The defaults are what the documentation states; tests shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After so long without a line the connection counts as lost.
    pub silence_timeout: Duration,
    /// How long the primary may take to begin its response to `changes` and `ack`.
    pub response_timeout: Duration,
    /// How long it may take to begin a snapshot (it may be building one), and between two pieces of it.
    pub snapshot_timeout: Duration,
    /// The first delay after a lost connection; doubled and jittered after each failure.
    pub initial_backoff: Duration,
    /// The longest delay between two tries to connect.
    pub max_backoff: Duration,
    /// The longest delay between two tries to resync.
    pub max_resync_backoff: Duration,
    /// The shortest time between two flushes, and so between two acknowledgements.
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

/// Why a replica did not start. Damage of the store is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder is not ours alone, or another process holds it.
    #[error(transparent)]
    Store(#[from] FileError),
    /// The thread or its runtime could not be started.
    #[error("failed to start the replication thread: {0}")]
    Thread(std::io::Error),
}
