//! What the front door needs of a daemon: who may ask, how large and how often, and where it is counted.

use std::any::Any;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::Semaphore;

use crate::api::error::Rejection;
use crate::api::peer_policy::{PeerPolicy, PeerScope};
use crate::api::rate_limit::RateLimiter;
use crate::api::request::Caller;
use crate::api::request_metrics::RequestMetrics;
use crate::api::route::RequiredAuth;
use crate::model::time::Time;
use crate::net::log_limiter::LogLimiter;
use crate::net::memory_budget::{BudgetHolder, MemoryBudget};
use crate::net::peer::Peer;
use crate::net::server::limits::ServerLimits;
use crate::wire::auth::credentials::CredentialVerifier;

/// How many large bodies are decoded at a time.
const LARGE_BODIES_AT_ONCE: usize = 1;

/// The state of a daemon, as the front door sees it.
pub trait ApiState: Send + Sync + 'static {
    /// Returns what the front door needs.
    fn api(&self) -> &ApiContext;

    /// Judges a caller whom each daemon identifies in its own way: an operator, a reader of metrics, a follower, KAS.
    fn authenticate_own(&self, required: RequiredAuth, peer: &Peer, headers: &HeaderMap, now: Time) -> Result<Caller, Rejection>;

    /// Returns what an answer to this caller holds until it has been handed to its connection. Called before its handler.
    fn begin_answer(&self, _caller: &Caller) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }
}

/// What the front door needs of any daemon.
pub struct ApiContext {
    peer_policy: ArcSwap<PeerPolicy>,
    /// Judges gitlab-shell's token and the shared secret.
    pub credential_verifier: Arc<CredentialVerifier>,
    /// Whether the shared secret is taken beside the token.
    pub accept_shared_secret: bool,
    limits: ArcSwap<ServerLimits>,
    /// How often one actor may do one thing to one project.
    pub rate_limiter: RateLimiter,
    /// What is counted of requests.
    pub metrics: RequestMetrics,
    /// Keeps refusals from filling the log.
    pub log_limiter: LogLimiter,
    /// For the bodies of callers who have not shown who they are, and for what they are decoded to.
    pub unauthenticated_bodies: MemoryBudget,
    /// The same for callers who have.
    pub authenticated_bodies: MemoryBudget,
    /// The permits to decode a large body: more at a time would take the processors from the threads that answer.
    pub large_bodies: Arc<Semaphore>,
}

impl ApiContext {
    /// Returns the context of a daemon that has just started.
    #[must_use]
    pub fn new(
        peer_policy: PeerPolicy,
        credential_verifier: Arc<CredentialVerifier>,
        accept_shared_secret: bool,
        limits: ServerLimits,
        metrics: RequestMetrics,
    ) -> Self {
        Self {
            peer_policy: ArcSwap::from_pointee(peer_policy),
            credential_verifier,
            accept_shared_secret,
            limits: ArcSwap::from_pointee(limits),
            metrics,
            rate_limiter: RateLimiter::default(),
            log_limiter: LogLimiter::default(),
            unauthenticated_bodies: MemoryBudget::new(
                limits.unproven_body_bytes,
                limits.unproven_body_bytes,
                BudgetHolder::Unauthenticated,
            ),
            authenticated_bodies: MemoryBudget::new(limits.proven_body_bytes, limits.proven_body_bytes / 2, BudgetHolder::Authenticated),
            large_bodies: Arc::new(Semaphore::new(LARGE_BODIES_AT_ONCE)),
        }
    }

    /// Returns whether a peer has a scope.
    #[must_use]
    pub fn allows(&self, peer: &Peer, scope: PeerScope) -> bool {
        self.peer_policy.load().allows(peer, scope)
    }

    /// Returns the bounds of a request, as they are now.
    #[must_use]
    pub fn limits(&self) -> ServerLimits {
        **self.limits.load()
    }

    /// Replaces what a process at the other end of a Unix socket may ask, from the next request on.
    pub fn replace_peer_policy(&self, policy: PeerPolicy) {
        self.peer_policy.store(Arc::new(policy));
    }

    /// Replaces the bounds of requests that can be replaced, from the next request on.
    pub fn replace_limits(&self, next: ServerLimits) {
        let limits = self.limits.load().reloaded(next);
        self.limits.store(Arc::new(limits));
        self.unauthenticated_bodies.resize(limits.unproven_body_bytes, limits.unproven_body_bytes);
        self.authenticated_bodies.resize(limits.proven_body_bytes, limits.proven_body_bytes / 2);
    }
}
