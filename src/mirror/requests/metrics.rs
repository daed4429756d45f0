//! `GET /-/metrics`, and what is brought up to date when somebody reads the metrics.

use std::sync::Arc;

use prometheus_client::registry::Registry;

use crate::api::error::HandlerResult;
use crate::api::metrics_endpoint::{self, MetricsSource};
use crate::api::request::{ApiRequest, RequestTime};
use crate::mirror::metrics::MirrorGauges;
use crate::mirror::state::MirrorState;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    metrics_endpoint::respond(state, &request.headers).await
}

impl MetricsSource for MirrorState {
    async fn refreshed_metrics(self: &Arc<Self>) -> &Registry {
        refresh(self, RequestTime::now());
        self.publisher.refreshed_metrics().await
    }
}

/// Sets the gauges to what they are at `time`.
fn refresh(state: &MirrorState, time: RequestTime) {
    let verification = state.verification.status();
    state.metrics.update(MirrorGauges {
        hooks_waiting: state.pending.waiting().0,
        keys_to_verify: verification.waiting,
        keys_verified: verification.asked,
        users: state.settler.directory.user_count(),
        keys: state.settler.directory.key_count(),
        skipped: state.skipped.count(),
        gitlab_answer_age_seconds: state.proof.age(time.boot).map(|age| age.as_secs()),
        walk_users: state.full_walk.state().progress.map_or(0, |progress| progress.users),
    });
}
