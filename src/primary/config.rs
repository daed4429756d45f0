//! What a primary is set up with. Every value is given; nothing here reads a file or has a default of its own, so that
//! what a configuration said, what a test wants and what a demo needs come the same way.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::loss_guard::LossGuard;
use crate::net::server::counters::ServerCounters;
use crate::net::server::limits::ServerLimits;
use crate::store::generations::generation::StoreOptions;
use crate::wire::auth::secret::Secret;

/// What a primary is opened with.
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
    /// Whether the base document's shared secret counts, on Unix sockets.
    pub accept_shared_secret: bool,
    /// From how large a loss on an apply asks to be told so.
    pub loss_guard: LossGuard,
    /// The user that the daemon runs as: with root the only ones that may be operators.
    pub own_uid: u32,
    /// The bounds of the sockets.
    pub bounds: ServerLimits,
    /// What the server counts, for the metrics.
    pub server_counters: Arc<ServerCounters>,
}
