//! `GET /-/admin/status`, as `docs/status.md` describes it: how current the local directory is, whether the primary answers, and what the replica does.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::error::HandlerResult;
use crate::api::request::{ApiRequest, RequestTime};
use crate::api::socket_health::socket_status;
use crate::model::freshness::{Freshness, FreshnessClass, FreshnessLimits, ReplicaReading, whole_seconds};
use crate::model::kept_answer::KeptKind;
use crate::model::time::BootTime;
use crate::net::message::Response;
use crate::sidecar::config::HEDGED_TTLS;
use crate::sidecar::freshness_status::{ClassVerdict, ProofAge};
use crate::sidecar::kept::service::KeptService;
use crate::sidecar::kept::shadow::Shadow;
use crate::sidecar::kept::status::kept_status;
use crate::sidecar::standing_alarms::standing_alarms;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::addresses::PrimaryAddress;
use crate::sidecar::upstream::breaker::OutageKind;
use crate::sidecar::usage_buffer::ReportSchedule;

const SECONDS_PER_DAY: u64 = 86_400;
/// For so long after it was last slower than `hedge` the primary counts as slow.
const SLOW_FOR: Duration = Duration::from_secs(60);

/// How the primary was found at the last question.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum PrimaryContact {
    /// It answers.
    Answers,
    /// It answers later than `hedge`, or owes an answer.
    Slow,
    /// Nobody has asked it since the start.
    NotAsked,
    /// It does not answer.
    Silent,
    /// It refuses what this host signs.
    Refuses,
    /// Its answers decide nothing: a proxy's error, another service.
    Fails,
}

/// Answers with one object.
pub async fn handle(state: &Arc<SidecarState>, request: ApiRequest) -> HandlerResult {
    let (reported, dropped) = state.usage.totals();
    let follower = (state.config.replica_control.status)();
    let body = json!({
        "daemon": "sidecar",
        "now": request.time.wall,
        "host": state.config.host,
        "version": env!("CARGO_PKG_VERSION"),
        "since": state.started_at.to_string(),
        "freshness": {
            "keys": class_status(state, FreshnessClass::Keys, &follower, request.time),
            "reads": class_status(state, FreshnessClass::Reads, &follower, request.time),
            "push_precheck": class_status(state, FreshnessClass::PushPrecheck, &follower, request.time),
        },
        "primary": primary_status(state, request.time),
        "alarms": standing_alarms(state, &follower, request.time.boot),
        "kept": state.kept.as_ref().map(|kept| kept_json(kept, request.time)),
        "feed": feed_json(state, &follower),
        "cursor": {"epoch": follower["cursor"]["epoch"], "seq": follower["cursor"]["seq"]},
        "follower": follower,
        "sockets": socket_status(&state.config.server_counters),
        "usage": {"reported": reported, "dropped": dropped},
        "reload": state.config.daemon.last_reload.status(),
        "memory_bytes": resident_bytes(),
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}

/// Returns whether the primary answers, and what waits for it.
fn primary_status(state: &SidecarState, time: RequestTime) -> Value {
    let channel = state.upstream.channel();
    let outage = channel.addresses.outage();
    let (in_flight, waiting) = channel.concurrency_limit.load();
    let last_hedged = state.hedge_metrics.last_hedged();
    let last_answer = channel.addresses.iter().filter_map(|address| address.health.last_answer()).max();
    let is_overdue = channel.addresses.iter().all(|address| address.health.is_answer_overdue(time.boot));
    let contact = match outage.as_ref().map(|outage| outage.kind) {
        Some(OutageKind::Silence) => PrimaryContact::Silent,
        Some(OutageKind::Refusal) => PrimaryContact::Refuses,
        Some(OutageKind::NoDecision) => PrimaryContact::Fails,
        None if is_overdue || last_hedged.is_some_and(|at| time.wall.since(at) < SLOW_FOR) => PrimaryContact::Slow,
        None if last_answer.is_some() => PrimaryContact::Answers,
        None => PrimaryContact::NotAsked,
    };
    json!({
        "url": state.config.primary_client.display_name(),
        "state": contact,
        "last_answer_seconds": last_answer.map(|answer| time.boot.since(answer).as_secs_f64()),
        "failing_since": outage.as_ref().map(|outage| outage.since.to_string()),
        "failure": outage.as_ref().map(|outage| outage.reason.to_string()),
        "breaker": if outage.is_some() { "open" } else { "closed" },
        "addresses": channel.addresses.iter().map(|address| address_status(address, time)).collect::<Vec<_>>(),
        "questions_under_way": in_flight,
        "questions_waiting": waiting,
        "answers_overtaken": state.upstream.overtaken_answers(),
        "answers_hedged": state.hedge_metrics.hedged.get(),
        "last_hedged": last_hedged,
        "late_denials": state.hedge_metrics.late_denials.get(),
        "denials_kept": state.denials.len(),
        "hedge_milliseconds": state.config.freshness_policy.hedge.as_millis(),
    })
}

/// Returns whose feed is followed, what it has, and what was asked of the primary that it does not have; null where none is followed.
fn feed_json(state: &SidecarState, follower: &Value) -> Value {
    let config = &state.config;
    let Some(mirror) = &state.mirror else {
        let url = config.primary_client.display_name();
        return if config.follows_feed { json!({"url": url, "of": "primary", "covers": follower["covers"]}) } else { Value::Null };
    };
    let every = match state.usage.schedule() {
        ReportSchedule::Daily => Value::from("day"),
        ReportSchedule::Every(interval) => json!(interval.as_secs()),
    };
    json!({
        "url": mirror.url,
        "of": "mirror",
        "covers": follower["covers"],
        "misses_per_second": mirror.misses_per_second,
        "misses_asked": mirror.misses_asked.get(),
        "misses_refused": mirror.misses_refused.get(),
        "kept_answers_not_given": mirror.not_given.get(),
        "uses_reported_every": every,
        "uses_reported_every_seconds": every.as_u64().unwrap_or(SECONDS_PER_DAY),
    })
}

fn kept_json(kept: &KeptService, time: RequestTime) -> Value {
    let mut status = kept_status(&kept.answers, time.boot);
    status["refreshes_waiting"] = json!(kept.refreshes.len());
    status["shadow"] = kept.shadow.as_ref().map_or(Value::Null, Shadow::status);
    status
}

/// Returns whether one address of the primary answers, since when, and how long ago it did so last.
fn address_status(address: &PrimaryAddress, time: RequestTime) -> Value {
    let health = &address.health;
    let (outage, last_answer) = (health.outage(), health.last_answer());
    let state = match (&outage, last_answer) {
        (Some(_), _) => "fails",
        (None, Some(_)) => "answers",
        (None, None) => "not asked yet",
    };
    json!({
        "url": health.name(),
        "state": state,
        "since": outage.as_ref().map_or_else(|| health.answering_since(), |outage| outage.since).to_string(),
        "failure": outage.as_ref().map(|outage| outage.reason.to_string()),
        "last_answer_seconds": last_answer.map(|answer| time.boot.since(answer).as_secs_f64()),
        "answers": health.answers(),
        "failures": health.failures(),
    })
}

fn class_status(state: &SidecarState, class: FreshnessClass, follower: &Value, time: RequestTime) -> Value {
    let reading = state.config.replica.read();
    let limits = state.config.freshness_policy.limits_for(class).capped(reading.confirmed_max_stale);
    // What is kept has an age for each answer; of a mirror's feed come keys only.
    let has_own_age = state.kept.is_none() || (state.mirror.is_some() && class == FreshnessClass::Keys);
    let age = reading.age(time.boot).filter(|_| has_own_age);
    let freshness = match reading.freshness(limits, time.boot) {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "stale",
        Freshness::Expired => "expired",
    };
    let hold = state.kept.as_ref().map(|kept| kept.answers.guard_status(time.boot).config.hold).map(whole_seconds);
    let mut status = json!({
        "state": match &state.kept {
            Some(kept) if kept.shadow.is_some() => "shadow",
            Some(_) if !has_own_age => "kept",
            _ => freshness,
        },
        "age_seconds": age.map(|age| age.as_secs_f64()),
        "ttl_seconds": whole_seconds(limits.ttl),
        "hedged_seconds": whole_seconds(limits.ttl.saturating_mul(HEDGED_TTLS).min(limits.max_stale)),
        "max_stale_seconds": whole_seconds(limits.max_stale),
        "hold_seconds": hold,
        "expires_in_seconds": age.map(|age| limits.max_stale.saturating_sub(age).as_secs()),
    });
    let proof_age = if has_own_age { directory_age(state, &reading, follower, time) } else { outage_age(state, class, limits, time) };
    for (name, value) in ClassVerdict::new(proof_age, limits, time.wall).to_json() {
        status[name] = value;
    }
    status
}

/// Returns what the followed directory is judged by.
fn directory_age(state: &SidecarState, reading: &ReplicaReading, follower: &Value, time: RequestTime) -> ProofAge {
    let unstored_since = follower["unstored"]["since"].as_str().and_then(|since| since.parse().ok());
    // Without an exchange since the start nothing is fresh since then.
    let started_at = reading.proven_at.map(|_| state.started_at);
    ProofAge::Directory {
        exchange: reading.exchange_proven_at.map(|proven_at| proven_at.age(time.boot)),
        any: reading.age(time.boot),
        otherwise_since: unstored_since.or(started_at),
    }
}

/// Returns what kept answers are judged by: for how long the primary has not answered, if any of them is given meanwhile.
fn outage_age(state: &SidecarState, class: FreshnessClass, limits: FreshnessLimits, time: RequestTime) -> ProofAge {
    let Some(outage) = state.upstream.channel().addresses.outage() else { return ProofAge::Outage(None) };
    if is_given(state, class, limits, time.boot) {
        return ProofAge::Outage(Some(time.boot.since(outage.started_at)));
    }
    let newest = state.kept.as_ref().filter(|kept| kept.shadow.is_none()).and_then(|kept| kept.answers.newest_age(time.boot));
    let expired_since = newest.and_then(|age| age.checked_sub(limits.max_stale)).map(|passed| time.wall.minus(passed));
    ProofAge::NothingGiven(expired_since.unwrap_or(outage.since))
}

/// Returns whether an outage finds something that may be given. Where nobody has fetched, or pushed, nothing is kept of it and nobody misses
/// it: that class is judged by keys, until all that is kept is older than its own bound, as after a restart that has read no such answer.
fn is_given(state: &SidecarState, class: FreshnessClass, limits: FreshnessLimits, now: BootTime) -> bool {
    let Some(kept) = &state.kept else { return true };
    let kind = match class {
        FreshnessClass::Keys => KeptKind::AuthorizedKeys,
        FreshnessClass::Reads => KeptKind::Pull,
        FreshnessClass::PushPrecheck => KeptKind::Push,
    };
    let is_young = || kept.answers.newest_age(now).is_none_or(|age| limits.evaluate(Some(age)) != Freshness::Expired);
    let has_own_answers = class == FreshnessClass::Keys || kept.answers.keeps(kind);
    kept.shadow.is_none()
        && match has_own_answers {
            true => kept.answers.serves(kind, now),
            false => is_young() && (state.mirror.is_some() || kept.answers.serves(KeptKind::AuthorizedKeys, now)),
        }
}

/// Returns the resident memory of the process; `None` where the kernel does not say.
fn resident_bytes() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}
