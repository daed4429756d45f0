//! What the operator of the host asks the daemon: how it stands, whether its store is true, to forget, to take everything again.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::model::freshness::{Freshness, FreshnessClass};
use crate::net::message::Response;
use crate::sidecar::gate::ApiRequest;
use crate::sidecar::state::{RequestTime, SidecarState};
use crate::wire::http::message::encode_message;

/// How the daemon stands.
pub(in crate::sidecar) fn handle_status(house: &SidecarState, moment: RequestTime) -> Response {
    let link = house.upstream.channel();
    let (under_way, waiting) = link.concurrency_limit.load();
    let (reported, dropped) = house.usage.totals();
    let body = json!({
        "host": house.config.host,
        "version": env!("CARGO_PKG_VERSION"),
        "since": house.started_at.to_string(),
        "freshness": {
            "keys": class_status(house, FreshnessClass::Keys, moment),
            "reads": class_status(house, FreshnessClass::Reads, moment),
            "push_precheck": class_status(house, FreshnessClass::PushPrecheck, moment),
        },
        "primary": {
            "failing_since": link.failing_since().map(|since| since.to_string()),
            "breaker": if link.is_breaker_open() { "open" } else { "closed" },
            "questions_under_way": under_way,
            "questions_waiting": waiting,
        },
        "follower": (house.config.replica_control.status)(),
        "usage": {"reported": reported, "dropped": dropped},
        "memory_bytes": resident_bytes(),
    });
    Response::json(StatusCode::OK, body.to_string())
}

fn class_status(house: &SidecarState, class: FreshnessClass, moment: RequestTime) -> Value {
    let limits = house.config.freshness_policy.limits_for(class);
    let age = house.config.replica.read().age(moment.boot);
    let state = match limits.evaluate(age) {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Expired => "expired",
    };
    json!({
        "state": state,
        "age_seconds": age.map(|age| age.as_secs_f64()),
        "ttl_seconds": limits.ttl.as_secs(),
        "max_stale_seconds": limits.max_stale.as_secs(),
        "expires_in_seconds": age.map(|age| limits.max_stale.saturating_sub(age).as_secs()),
    })
}

/// What the kernel counts as resident; `None` where it does not say.
fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

/// Adds the store up and compares it with the primary.
pub(in crate::sidecar) async fn handle_verify(house: &SidecarState) -> Response {
    match (house.config.replica_control.verify)().await {
        Ok(found) => Response::json(StatusCode::OK, found.to_string()),
        Err(text) => Response::json(StatusCode::CONFLICT, encode_message(&text)),
    }
}

/// Forgets what was kept of the primary's answers.
pub(in crate::sidecar) async fn handle_invalidate(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    if let Err(refused) = call.decode_params(house).await {
        return refused;
    }
    house.lfs_tokens.clear();
    house.version_cache.clear();
    tracing::info!("answers that were kept are forgotten, as the operator asked");
    Response::json(StatusCode::OK, encode_message("kept answers are forgotten; the directory itself follows the primary"))
}

/// Takes a whole snapshot again, beside what serves.
pub(in crate::sidecar) fn handle_resync(house: &SidecarState) -> Response {
    (house.config.replica_control.resync)();
    Response::json(StatusCode::ACCEPTED, encode_message("a whole snapshot is taken; what serves now goes on serving meanwhile"))
}
