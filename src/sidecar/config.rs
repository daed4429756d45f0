//! What a sidecar is given: values only; reading files and names is the work of who starts it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::api::peer_policy::PeerPolicy;
use crate::model::freshness::{DirectoryReplica, FreshnessClass, FreshnessLimits};
use crate::model::time::Time;
use crate::net::client::http_client::HttpClient;
use crate::net::server::limits::ServerLimits;
use crate::wire::auth::credentials::CredentialVerifier;

/// Everything a sidecar works with.
pub struct SidecarConfig {
    /// This host's name, as followers call themselves.
    pub host: String,
    /// Whether the base document's shared secret is taken beside the token.
    pub accept_shared_secret: bool,
    /// The bounds of each class of answers.
    pub freshness_policy: FreshnessPolicy,
    /// How long all tries of one question may take together.
    pub timeout: Duration,
    /// How long a write or a request that is passed through may take.
    pub forward_timeout: Duration,
    /// The bounds of the socket.
    pub bounds: ServerLimits,
    /// Who may ask what.
    pub scopes: PeerPolicy,
    /// Judges what callers show. Shared with who renews its secret.
    pub credential_verifier: Arc<CredentialVerifier>,
    /// Signs what the primary is asked. Shared likewise.
    pub token_signer: Arc<CredentialVerifier>,
    /// Makes a follower's token, for reports of use.
    pub follower_token: FollowerTokenFn,
    /// The way to the primary.
    pub primary_client: HttpClient,
    /// Who follows.
    pub replica: Arc<dyn DirectoryReplica>,
    /// What the operator can do with the follower.
    pub replica_control: ReplicaControl,
}

/// The bounds of each class of answers.
#[derive(Clone, Copy, Debug)]
pub struct FreshnessPolicy {
    pub keys: FreshnessLimits,
    pub reads: FreshnessLimits,
    pub push_precheck: FreshnessLimits,
}

impl FreshnessPolicy {
    /// The limits of one class.
    #[must_use]
    pub const fn limits_for(&self, class: FreshnessClass) -> FreshnessLimits {
        match class {
            FreshnessClass::Keys => self.keys,
            FreshnessClass::Reads => self.reads,
            FreshnessClass::PushPrecheck => self.push_precheck,
        }
    }
}

/// Makes a token that is good from a moment on; `None` if nothing is followed.
pub type FollowerTokenFn = Box<dyn Fn(Time) -> Option<String> + Send + Sync>;

/// What comes later, as a future that any thread may wait for.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an operator sees and does of the follower, which is a room beside this one.
pub struct ReplicaControl {
    /// What it says of itself.
    pub status: Box<dyn Fn() -> Value + Send + Sync>,
    /// Take a whole snapshot again.
    pub resync: Box<dyn Fn() + Send + Sync>,
    /// Add the store up and compare it with the primary.
    pub verify: Box<dyn Fn() -> BoxFuture<Result<Value, String>> + Send + Sync>,
    /// Adds the follower's own metrics.
    pub register_metrics: Box<dyn Fn(&mut Registry) + Send + Sync>,
}
