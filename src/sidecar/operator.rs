//! What the operator of the host asks the daemon: how it stands, whether its store is true, to forget, to take everything again.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::model::freshness::{Class, Freshness};
use crate::net::message::Reply;
use crate::sidecar::gate::Call;
use crate::sidecar::house::{Moment, Sidecar};
use crate::wire::answer;

/// How the daemon stands.
pub(in crate::sidecar) fn status(house: &Sidecar, moment: Moment) -> Reply {
    let link = house.asking.link();
    let (under_way, waiting) = link.budget.load();
    let (reported, dropped) = house.usage.counted();
    let body = json!({
        "host": house.setup.host,
        "version": env!("CARGO_PKG_VERSION"),
        "since": house.started.to_string(),
        "freshness": {
            "keys": class(house, Class::Keys, moment),
            "reads": class(house, Class::Reads, moment),
            "push_precheck": class(house, Class::PushPrecheck, moment),
        },
        "primary": {
            "failing_since": link.failing_since().map(|since| since.to_string()),
            "breaker": if link.held_back() { "open" } else { "closed" },
            "questions_under_way": under_way,
            "questions_waiting": waiting,
        },
        "follower": (house.setup.levers.status)(),
        "usage": {"reported": reported, "dropped": dropped},
        "memory_bytes": resident_bytes(),
    });
    Reply::json(StatusCode::OK, body.to_string())
}

fn class(house: &Sidecar, class: Class, moment: Moment) -> Value {
    let limits = house.setup.freshness.of(class);
    let age = house.setup.following.age(moment.boot);
    let state = match limits.judge(age) {
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
pub(in crate::sidecar) async fn verify(house: &Sidecar) -> Reply {
    match (house.setup.levers.verify)().await {
        Ok(found) => Reply::json(StatusCode::OK, found.to_string()),
        Err(text) => Reply::json(StatusCode::CONFLICT, answer::message(&text)),
    }
}

/// Forgets what was kept of the primary's answers.
pub(in crate::sidecar) async fn invalidate(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    if let Err(refused) = call.decoded(house).await {
        return refused;
    }
    house.tokens.forget();
    house.versions.forget();
    tracing::info!("answers that were kept are forgotten, as the operator asked");
    Reply::json(StatusCode::OK, answer::message("kept answers are forgotten; the directory itself follows the primary"))
}

/// Takes a whole snapshot again, beside what serves.
pub(in crate::sidecar) fn resync(house: &Sidecar) -> Reply {
    (house.setup.levers.resync)();
    Reply::json(StatusCode::ACCEPTED, answer::message("a whole snapshot is taken; what serves now goes on serving meanwhile"))
}
