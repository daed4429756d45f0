//! The configuration of a sidecar, as values: whoever starts it reads files and resolves names.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::api::daemon_metrics::DaemonFacts;
use crate::api::peer_policy::PeerPolicy;
use crate::model::freshness::{DirectoryReplica, FreshnessClass, FreshnessLimits};
use crate::model::kept_answer::KeptAnswerStore;
use crate::model::time::Time;
use crate::net::client::http_client::HttpClient;
use crate::net::server::counters::ServerCounters;
use crate::net::server::limits::ServerLimits;
use crate::wire::auth::credentials::CredentialVerifier;

/// Where the proof is younger than so many `ttl`s, a held yes waits for `hedge` only.
pub const HEDGED_TTLS: u32 = 10;

/// The configuration of a sidecar.
pub struct SidecarConfig {
    /// This host's name at the primary.
    pub host: String,
    /// Whether the shared secret is accepted beside the token.
    pub accept_shared_secret: bool,
    /// The bounds of each class of answers.
    pub freshness_policy: FreshnessPolicy,
    /// Whether the primary has a feed that this host follows.
    pub follows_feed: bool,
    /// The mirror whose feed of users and keys this host follows in front of a primary without one.
    pub mirror: Option<MirrorConfig>,
    /// Where the primary's last versions are kept over a restart.
    pub versions_file: PathBuf,
    /// The time limit of a query, all tries together.
    pub timeout: Duration,
    /// The time limit of a write or a request that is passed on.
    pub forward_timeout: Duration,
    /// How often a minute a kept answer about access is given to one actor for one thing in one repository; 0 for no limit.
    pub operations_per_minute: u32,
    /// The bounds of the socket.
    pub bounds: ServerLimits,
    /// What the server counts, and whether clients find its sockets.
    pub server_counters: Arc<ServerCounters>,
    /// What the metrics say of the daemon itself.
    pub daemon: DaemonFacts,
    /// What a process at the other end of the socket may ask.
    pub scopes: PeerPolicy,
    /// Judges the credentials of callers. Shared with the task that rotates its secret.
    pub credential_verifier: Arc<CredentialVerifier>,
    /// Signs requests to the primary. Shared likewise.
    pub token_signer: Arc<CredentialVerifier>,
    /// Issues a follower's token, for reports of use.
    pub follower_token: FollowerTokenFn,
    /// The connections to the primary, at the address that is tried first.
    pub primary_client: HttpClient,
    /// The connections to its other addresses, in the order in which they are tried; none where a directory is followed.
    pub other_clients: Vec<HttpClient>,
    /// The local copy of the directory.
    pub replica: Arc<dyn DirectoryReplica>,
    /// What the operator can do with the replica.
    pub replica_control: ReplicaControl,
    /// The answers of the primary that are kept; `None` where its directory is followed.
    pub kept: Option<KeptConfig>,
}

/// A mirror of a GitLab, which publishes its users and keys.
pub struct MirrorConfig {
    /// Its URL, for the operator.
    pub url: String,
    /// The connections to it.
    pub client: HttpClient,
    /// How many unknown keys and users a second the GitLab is asked about at most.
    pub misses_per_second: u32,
}

/// What is kept of a primary's answers, and for how long.
#[derive(Clone)]
pub struct KeptConfig {
    /// How much.
    pub bounds: KeptBounds,
    /// How long a key is taken to be unknown that the primary did not know.
    pub negative_ttl: Duration,
    /// Whether the address that somebody asks from enters the decision.
    pub check_ip: CheckIp,
    /// What they are for.
    pub mode: KeptMode,
    /// When so many keys are unknown at once that they are not taken to be removed.
    pub mass_negative: MassNegative,
    /// Puts them on disk.
    pub store: Arc<dyn KeptAnswerStore>,
}

/// What kept answers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptMode {
    /// They are given.
    Answer,
    /// They are compared with the primary's, which alone is given.
    Shadow,
}

/// When a primary does not know so many of the keys that it knew that they are not taken to be removed yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MassNegative {
    /// How many of the keys that this host knew must have been asked about within a minute.
    pub at_least: usize,
    /// The share of them, from 0 to 1, of which more must be unknown.
    pub share: f64,
    /// For how long they are let in after that; zero for never.
    pub hold: Duration,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBounds {
    /// How many answers.
    pub answers: usize,
    /// How many bytes, bodies and tables together.
    pub bytes: usize,
}

/// What is kept of the address that somebody asks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckIp {
    /// It enters the decision.
    Matters,
    /// The site has no lists of addresses: an answer to one address is an answer to all.
    Ignored,
}

/// The bounds of each class of answers.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessPolicy {
    pub keys: FreshnessLimits,
    pub reads: FreshnessLimits,
    pub push_precheck: FreshnessLimits,
    /// How long a held yes waits for a primary that is slow.
    pub hedge: Duration,
}

impl FreshnessPolicy {
    /// Returns whether a held yes of this age waits for `hedge` only.
    #[must_use]
    pub fn is_hedged(&self, class: FreshnessClass, age: Duration) -> bool {
        age < self.limits_for(class).ttl.saturating_mul(HEDGED_TTLS)
    }

    /// Returns the limits of one class.
    #[must_use]
    pub const fn limits_for(&self, class: FreshnessClass) -> FreshnessLimits {
        match class {
            FreshnessClass::Keys => self.keys,
            FreshnessClass::Reads => self.reads,
            FreshnessClass::PushPrecheck => self.push_precheck,
        }
    }
}

/// Issues a token at a given time; `None` if no primary is followed.
pub type FollowerTokenFn = Box<dyn Fn(Time) -> Option<String> + Send + Sync>;

/// A future that any thread may wait for.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an operator sees and does of the replica, which is a module beside this one.
pub struct ReplicaControl {
    /// Returns its status.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    /// Loads a whole snapshot again.
    pub resync: Box<dyn Fn() + Send + Sync>,
    /// Computes the store's digest and compares it with the primary's.
    pub verify: Box<dyn Fn() -> BoxFuture<Result<Value, String>> + Send + Sync>,
    /// Returns each kind of its alarms, whether it is active, and how often it was raised.
    pub alarms: Box<dyn Fn() -> Vec<(&'static str, bool, u64)> + Send + Sync>,
    /// Registers the replica's metrics.
    pub register_metrics: Box<dyn Fn(&mut Registry) + Send + Sync>,
}
