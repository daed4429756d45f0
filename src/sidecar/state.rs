//! The sidecar itself: what all journeys share while it runs.

use std::sync::Arc;

use crate::api::rate_limit::RateLimiter;
use crate::model::clock;
use crate::model::freshness::{DirectoryView, Freshness, FreshnessClass};
use crate::model::time::{BootTime, Time};
use crate::net::memory_budget::MemoryBudget;
use crate::net::message::{Request, Response};
use crate::net::server::http_server::Handler;
use crate::sidecar::cached_view::{Age, CachedView};
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::gate;
use crate::sidecar::requests::check::VersionCache;
use crate::sidecar::requests::lfs_authenticate::LfsTokenCache;
use crate::sidecar::tally::SidecarMetrics;
use crate::sidecar::upstream::client::UpstreamClient;
use crate::sidecar::usage_report::UsageBuffer;

/// How many windows of rate limits are kept.
const MAX_RATE_WINDOWS: usize = 1 << 16;
/// How long a request waits for the store to open before the primary is asked instead.
const STORE_OPEN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// A sidecar that answers.
pub struct SidecarState {
    pub(in crate::sidecar) config: SidecarConfig,
    pub(in crate::sidecar) upstream: UpstreamClient,
    pub(in crate::sidecar) metrics: SidecarMetrics,
    pub(in crate::sidecar) version_cache: VersionCache,
    pub(in crate::sidecar) rate_limiter: RateLimiter,
    pub(in crate::sidecar) lfs_tokens: LfsTokenCache,
    pub(in crate::sidecar) usage: UsageBuffer,
    /// For the bodies of callers who have not shown who they are.
    pub(in crate::sidecar) unauthenticated_bodies: MemoryBudget,
    pub(in crate::sidecar) started_at: Time,
}

/// When a request is answered: the one reading of the clocks that all its judgements use.
#[derive(Clone, Copy, Debug)]
pub(in crate::sidecar) struct RequestTime {
    pub wall: Time,
    pub boot: BootTime,
}

impl RequestTime {
    pub fn now() -> Self {
        Self { wall: clock::wall_time(), boot: clock::boot_time() }
    }
}

impl SidecarState {
    /// A sidecar out of its setup. Nothing is asked, opened or started here.
    #[must_use]
    pub fn new(setup: SidecarConfig) -> Arc<Self> {
        Arc::new(Self {
            upstream: UpstreamClient::new(&setup),
            metrics: SidecarMetrics::new(&setup.replica_control),
            version_cache: VersionCache::default(),
            rate_limiter: RateLimiter::new(MAX_RATE_WINDOWS),
            lfs_tokens: LfsTokenCache::default(),
            usage: UsageBuffer::default(),
            unauthenticated_bodies: MemoryBudget::new(setup.bounds.unproven_body_bytes),
            started_at: clock::wall_time(),
            config: setup,
        })
    }

    /// What is known of a class of answers at this moment. Waits for a store that is still being opened.
    pub(in crate::sidecar) async fn cached_view(&self, class: FreshnessClass, moment: RequestTime) -> CachedView {
        let mut held = self.read_replica(moment);
        if held.view.is_none() {
            self.config.replica.wait_until_open(STORE_OPEN_TIMEOUT).await;
            held = self.read_replica(moment);
        }
        let freshness = self.config.freshness_policy.limits_for(class).evaluate(held.age.0);
        CachedView { view: held.view.filter(|_| freshness != Freshness::Expired), age: held.age, freshness, caught_up: held.caught_up }
    }

    fn read_replica(&self, moment: RequestTime) -> ReplicaReading {
        let following = &self.config.replica;
        let (age, caught_up) = (Age(following.age(moment.boot)), following.is_caught_up());
        // The view last: another generation may begin to serve meanwhile, and what was said of the one before is only older.
        ReplicaReading { age, caught_up, view: following.view() }
    }
}

/// What the follower holds, and what is said of it.
struct ReplicaReading {
    age: Age,
    caught_up: bool,
    view: Option<DirectoryView>,
}

impl Handler for SidecarState {
    async fn handle(self: &Arc<Self>, asked: Request) -> Response {
        gate::handle(self, asked).await
    }
}
