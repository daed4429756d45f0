//! `GET /-/metrics`, and what is looked at when somebody reads the metrics.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;

use crate::api::error::HandlerResult;
use crate::api::metrics_endpoint::{self, MetricsSource};
use crate::api::request::ApiRequest;
use crate::model::clock;
use crate::model::freshness::{FreshnessClass, FreshnessLimits, ReplicaReading};
use crate::model::time::BootTime;
use crate::sidecar::metrics::SidecarReading;
use crate::sidecar::state::SidecarState;

const CLASSES: [FreshnessClass; 3] = [FreshnessClass::Keys, FreshnessClass::Reads, FreshnessClass::PushPrecheck];

/// Answers with all that is counted, of requests and of the replica.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    metrics_endpoint::respond(state, &request.headers).await
}

impl MetricsSource for SidecarState {
    async fn refreshed_metrics(self: &Arc<Self>) -> &Registry {
        self.metrics.update(&read(self, clock::boot_time()));
        &self.registry
    }
}

fn read(state: &SidecarState, now: BootTime) -> SidecarReading {
    let channel = state.upstream.channel();
    let replica = state.config.replica.read();
    SidecarReading {
        classes: CLASSES.map(|class| {
            let (limits, age) = bounds_and_age(state, class, &replica, now);
            (class, limits, age)
        }),
        is_breaker_open: channel.addresses.outage().is_some(),
        forwards: channel.concurrency_limit.load(),
        usage: state.usage.totals(),
        keeps_in_memory_only: state.kept.as_ref().is_some_and(|kept| kept.answers.store().status().in_memory_since.is_some()),
        holds_mass_negative: state.kept.as_ref().is_some_and(|kept| kept.answers.guard_status(now).hold.is_some()),
        has_lost_socket: !state.config.server_counters.sockets.lost().is_empty(),
        replica_alarms: (state.config.replica_control.alarms)(),
    }
}

/// Returns the bounds of a class, and the age of its data: of what is kept each answer has its own, and of a mirror's feed come keys only.
fn bounds_and_age(
    state: &SidecarState,
    class: FreshnessClass,
    replica: &ReplicaReading,
    now: BootTime,
) -> (FreshnessLimits, Option<Duration>) {
    let limits = state.config.freshness_policy.limits_for(class);
    let comes_from_feed = state.config.follows_feed || (state.mirror.is_some() && class == FreshnessClass::Keys);
    if comes_from_feed { (limits.capped(replica.confirmed_max_stale), replica.age(now)) } else { (limits, None) }
}
