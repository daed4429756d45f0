//! The options of a primary, as values: nothing here reads a file or has a default of its own, so that a configuration, a test and the demo
//! start a primary in the same way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::api::daemon_metrics::DaemonFacts;
use crate::model::loss_guard::LossGuard;
use crate::net::gitaly::client::GitalyClient;
use crate::net::server::counters::ServerCounters;
use crate::net::server::limits::ServerLimits;
use crate::primary::replication::feed_clock::FeedClock;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::secret::Secret;

/// What creates the repositories of a project that a push creates.
#[derive(Clone)]
pub enum RepositoryCreation {
    /// This primary does, at the Gitaly of the project's storage.
    Gitaly {
        /// What asks Gitaly.
        client: GitalyClient,
        /// How long code and wiki may take together.
        time_limit: Duration,
    },
    /// Something else does; a project is committed at once.
    ByOthers,
}

/// What is said of the directory that is published, beside its records.
#[derive(Clone)]
pub struct Publication {
    /// The kinds of records that it has, where these are not all.
    pub covers: Option<&'static [&'static str]>,
    /// What dates the lines of the feed.
    pub clock: FeedClock,
}

impl Publication {
    /// Returns that of a primary, which owns its directory.
    #[must_use]
    pub const fn of_primary() -> Self {
        Self { covers: None, clock: FeedClock::Own }
    }
}

/// The options of [`crate::primary::state::PrimaryState::open`].
pub struct PrimaryOptions {
    /// The folder of the store; made if it is not there.
    pub store_path: PathBuf,
    /// How much memory the store may take.
    pub store_options: StoreOptions,
    /// gitlab-shell's secret.
    pub shell_secret: Secret,
    /// The followers' secret.
    pub sync_secret: Secret,
    /// KAS's secret; without it the kubernetes endpoints answer 401.
    pub kas_secret: Option<Secret>,
    /// The token of subscriptions, minutes and reconciliations, beside tokens of administrators.
    pub admin_token: Option<Secret>,
    /// The token of error tracking; without it that endpoint answers 401.
    pub error_tracking_token: Option<Secret>,
    /// The token of the fleet page over TCP; without it the page is on the Unix socket only.
    pub fleet_token: Option<Secret>,
    /// Whether the shared secret is accepted beside the token, on Unix sockets.
    pub accept_shared_secret: bool,
    /// From what size a loss by `apply` must be accepted explicitly.
    pub loss_guard: LossGuard,
    /// The longest that a host may answer without the primary. One whose bound is longer does not get the feed.
    pub longest_max_stale: Duration,
    /// What creates the repositories of the projects that pushes create.
    pub repositories: RepositoryCreation,
    /// How the directory is published.
    pub publication: Publication,
    /// The user that the daemon runs as: beside root the only operator.
    pub own_uid: u32,
    /// The bounds of the sockets.
    pub bounds: ServerLimits,
    /// What the server counts, for the metrics.
    pub server_counters: Arc<ServerCounters>,
    /// What the metrics say of the daemon itself.
    pub daemon: DaemonFacts,
}
