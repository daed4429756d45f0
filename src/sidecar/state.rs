//! The sidecar itself: what all journeys share while it runs.

use std::sync::Arc;

use crate::api::rate_limit::RateLimiter;
use crate::model::clock;
use crate::model::freshness::{Freshness, FreshnessClass};
use crate::model::time::{BootTime, Time};
use crate::net::memory_budget::MemoryBudget;
use crate::net::message::{Request, Response};
use crate::net::server::handler::Handler;
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
        let replica = &self.config.replica;
        let mut reading = replica.read();
        if reading.view.is_none() {
            replica.wait_until_open(STORE_OPEN_TIMEOUT).await;
            reading = replica.read();
        }
        let age = reading.age(moment.boot);
        let freshness = self.config.freshness_policy.limits_for(class).evaluate(age);
        let view = reading.view.filter(|_| freshness != Freshness::Expired);
        CachedView { view, age: Age(age), freshness, caught_up: reading.caught_up }
    }
}

impl Handler for SidecarState {
    async fn handle(self: &Arc<Self>, asked: Request) -> Response {
        gate::handle(self, asked).await
    }
}
