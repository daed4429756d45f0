//! `GET /-/metrics`: what Prometheus reads.

use std::sync::Arc;

use crate::api::error::HandlerResult;
use crate::api::request::ApiRequest;
use crate::mirror::metrics::MirrorGauges;
use crate::mirror::state::MirrorState;
use crate::primary::requests;

/// Answers with all that is counted.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    let verification = state.verification.status();
    state.metrics.update(MirrorGauges {
        hooks_waiting: state.pending.waiting().0,
        keys_to_verify: verification.waiting,
        keys_verified: verification.asked,
        users: state.settler.directory.user_count(),
        keys: state.settler.directory.key_count(),
        skipped: state.skipped.count(),
        gitlab_heard_seconds: state.proof.age(request.time.boot).map(|age| age.as_secs()),
        walk_users: state.full_walk.state().progress.map_or(0, |progress| progress.users),
    });
    requests::metrics::handle(&state.publisher, request).await
}
