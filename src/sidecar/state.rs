//! The sidecar's state: what all endpoints share while it runs.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use prometheus_client::registry::Registry;

use crate::api::context::{ApiContext, ApiState};
use crate::api::daemon_metrics::DaemonMetrics;
use crate::api::error::Rejection;
use crate::api::peer_policy::PeerScope;
use crate::api::request::{Caller, RequestTime};
use crate::api::request_metrics::RequestMetrics;
use crate::api::route::RequiredAuth;
use crate::api::socket_health::SocketMetrics;
use crate::model::clock;
use crate::model::freshness::{Freshness, FreshnessClass};
use crate::model::time::Time;
use crate::net::peer::Peer;
use crate::sidecar::config::SidecarConfig;
use crate::sidecar::denials::Denials;
use crate::sidecar::hedge_metrics::HedgeMetrics;
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::lfs_token_cache::LfsTokenCache;
use crate::sidecar::local_view::LocalView;
use crate::sidecar::metrics::SidecarMetrics;
use crate::sidecar::mirror::miss_budget::Admission;
use crate::sidecar::mirror::service::MirrorService;
use crate::sidecar::upstream::client::UpstreamClient;
use crate::sidecar::usage_buffer::{ReportSchedule, UsageBuffer};
use crate::sidecar::version_cache::VersionCache;

/// How long a request waits for the store to open before the primary is asked instead.
const STORE_OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// A sidecar that answers.
pub struct SidecarState {
    /// What the front door needs.
    pub api: ApiContext,
    /// What the operator configured.
    pub config: SidecarConfig,
    /// Asks the primary.
    pub upstream: UpstreamClient,
    /// Everything that is counted, as Prometheus reads it.
    pub registry: Registry,
    /// What is shown beside requests.
    pub metrics: SidecarMetrics,
    /// The primary's last versions.
    pub version_cache: VersionCache,
    /// What the primary has denied although the local directory grants it.
    pub denials: Denials,
    /// What is counted of questions that a held yes did not wait for.
    pub hedge_metrics: HedgeMetrics,
    /// The primary's tokens for LFS.
    pub lfs_tokens: LfsTokenCache,
    /// The answers that are kept; `None` where the primary's directory is followed.
    pub kept: Option<KeptService>,
    /// The mirror whose feed is followed; `None` where none is.
    pub mirror: Option<Arc<MirrorService>>,
    /// What is to be reported of uses.
    pub usage: UsageBuffer,
    /// When it was started.
    pub started_at: Time,
}

impl SidecarState {
    /// Returns a sidecar by its configuration. Nothing is asked, opened or started here.
    #[must_use]
    pub fn new(config: SidecarConfig) -> Arc<Self> {
        let mut registry = Registry::default();
        DaemonMetrics::register(config.daemon.clone(), &mut registry);
        let request_metrics = RequestMetrics::register(&mut registry);
        let metrics = SidecarMetrics::register(&mut registry);
        if config.follows_feed || config.mirror.is_some() {
            (config.replica_control.register_metrics)(&mut registry);
        }
        SocketMetrics::register(Arc::clone(&config.server_counters), &mut registry);
        let verifier = Arc::clone(&config.credential_verifier);
        let upstream = UpstreamClient::new(&config);
        upstream.register_metrics(&mut registry);
        let hedge_metrics = HedgeMetrics::register(&mut registry);
        let kept = config.kept.as_ref().map(|kept| KeptService::register(kept, config.freshness_policy, &mut registry));
        let mirror = config.mirror.as_ref().map(|mirror| MirrorService::register(mirror, &mut registry));
        Arc::new(Self {
            api: ApiContext::new(config.scopes.clone(), verifier, config.accept_shared_secret, config.bounds, request_metrics),
            upstream,
            registry,
            metrics,
            version_cache: VersionCache::load(config.versions_file.clone()),
            denials: Denials::default(),
            hedge_metrics,
            lfs_tokens: LfsTokenCache::default(),
            kept,
            usage: UsageBuffer::new(if mirror.is_some() { ReportSchedule::OF_MIRROR } else { ReportSchedule::Daily }),
            mirror,
            started_at: clock::wall_time(),
            config,
        })
    }

    /// Returns what may be answered from the local directory now. Waits for a store that is still being opened.
    pub async fn local_view(&self, class: FreshnessClass, time: RequestTime) -> LocalView {
        let replica = &self.config.replica;
        if replica.read().view.is_none() {
            replica.wait_until_open(STORE_OPEN_TIMEOUT).await;
        }
        self.current_view(class, time)
    }

    /// Returns whether the primary may be asked about one more key or user that the followed mirror does not have. While it is found not to
    /// answer nothing is asked, and so nothing is counted.
    pub fn admit_miss(&self) -> bool {
        let is_over = |mirror: &MirrorService| !self.upstream.is_failing() && mirror.admit_miss() == Admission::Refused;
        !self.mirror.as_ref().is_some_and(|mirror| is_over(mirror))
    }

    /// As [`Self::local_view`], at this moment, without waiting for a store that is being opened: for whoever has an answer of the primary,
    /// or none, and must not let anything come in between.
    pub fn current_view(&self, class: FreshnessClass, time: RequestTime) -> LocalView {
        let reading = self.config.replica.read();
        let age = reading.age(time.boot);
        let freshness = reading.freshness(self.config.freshness_policy.limits_for(class), time.boot);
        let view = reading.view.filter(|view| freshness != Freshness::Expired && view.coverage.has_logins());
        LocalView {
            view,
            age,
            exchange_proven_at: reading.exchange_proven_at,
            exchange_age: reading.exchange_proven_at.map(|proven_at| proven_at.age(time.boot)),
            freshness,
            caught_up: reading.caught_up,
            epoch_changes: reading.revision.epoch_changes,
        }
    }
}

impl ApiState for SidecarState {
    fn api(&self) -> &ApiContext {
        &self.api
    }

    fn authenticate_own(&self, required: RequiredAuth, peer: &Peer, _headers: &HeaderMap, _now: Time) -> Result<Caller, Rejection> {
        let scope = if required == RequiredAuth::Metrics { PeerScope::Metrics } else { PeerScope::Admin };
        if self.api.allows(peer, scope) { Ok(Caller::Operator) } else { Err(Rejection::peer(peer)) }
    }
}
