//! `GET /-/admin/status`, as `docs/status.md` describes it: how the mirror does, how GitLab does, and what an operator should look at.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestTime};
use crate::mirror::config::COVERED_KINDS;
use crate::mirror::gitlab::turns::Priority;
use crate::mirror::state::MirrorState;
use crate::net::message::Response;
use crate::primary::requests::admin_status;

/// Answers with one object.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    let mut status = admin_status::read_status(&state.publisher, request.time).await?;
    let settings = published_settings(state).await?;
    let publisher = ["revocations", "kept", "creation", "shared_secret", "shared_repositories", "usage_dropped"];
    if let Some(fields) = status.as_object_mut() {
        // What only a primary has.
        fields.retain(|name, _| !publisher.contains(&name.as_str()));
        let mut own = own_fields(state, request.time);
        // Those of the store, the sockets and the hosts first.
        if let (Some(Value::Array(alarms)), Some(own_alarms)) = (fields.get_mut("alarms"), own["alarms"].as_array()) {
            alarms.extend_from_slice(own_alarms);
            own["alarms"] = Value::Array(std::mem::take(alarms));
        }
        fields.extend(own.as_object().cloned().unwrap_or_default());
        fields.insert("settings".to_owned(), settings);
    }
    Ok(Response::json(StatusCode::OK, status.to_string()))
}

/// Returns what is published of GitLab's own settings, or null.
async fn published_settings(state: &MirrorState) -> Result<Value, ApiError> {
    let directory = Arc::clone(&state.settler.directory);
    let settings = run_blocking(move || directory.settings()).await?;
    Ok(settings.map_or(Value::Null, |settings| json!({"host": settings.host, "web_url": settings.web_url})))
}

impl MirrorState {
    /// Returns what the status says of the mirror alone, as it is now.
    #[must_use]
    pub fn summary(&self) -> Value {
        own_fields(self, RequestTime::now())
    }
}

fn own_fields(state: &MirrorState, time: RequestTime) -> Value {
    let verification = state.verification.status();
    let (waiting, oldest) = state.pending.waiting();
    let pacer = state.client.pacer();
    json!({
        "daemon": "mirror",
        "alarms": state.alarms.list(),
        "covers": COVERED_KINDS,
        "serves_feed": state.full_walk.has_ended_once(),
        "users": state.settler.directory.user_count(),
        "keys": state.settler.directory.key_count(),
        "gitlab": {
            "url": state.gitlab_url,
            "heard_seconds_ago": state.proof.age(time.boot).map(|age| age.as_secs_f64()),
            "proven": state.proof.reading().map(|reading| reading.wall_time),
            "failure": state.questions.last_failure(),
            "requests": state.questions.counts(),
            "waiting": {
                "hooks": pacer.waiting(Priority::Hook),
                "verification": pacer.waiting(Priority::Verification),
                "walk": pacer.waiting(Priority::Walk),
            },
        },
        "full_walk": full_walk(state, time),
        "recent_walk": recent_walk(state),
        "hooks": {"taken": state.hook_token.secrets().is_some(), "waiting": waiting, "oldest": oldest},
        "verification": {
            "every_seconds": state.intervals.verify_every.as_secs_f64(),
            "waiting": verification.waiting,
            "asked": verification.asked,
            "removed": verification.removed,
        },
        "skipped": state.skipped.status(),
    })
}

fn full_walk(state: &MirrorState, time: RequestTime) -> Value {
    let walk = state.full_walk.state();
    let rate = walk.users_per_second(time.boot);
    let remaining = walk.remaining(time.boot, state.recent_walk.state().highest_user());
    json!({
        "every_seconds": state.intervals.full.as_secs_f64(),
        "under_way": walk.progress.as_ref().map(|progress| json!({
            "began": progress.began,
            "users": progress.users,
            "keys": progress.keys,
            "changes": progress.changes,
            "not_found": progress.missing_users.len() + progress.missing_keys.len(),
            "users_per_second": rate,
            "remaining_seconds": remaining.map(|remaining| remaining.as_secs()),
        })),
        "failure": walk.failure,
        "last": walk.ended,
    })
}

fn recent_walk(state: &MirrorState) -> Value {
    let walk = state.recent_walk.state();
    json!({
        "every_seconds": state.intervals.recent.as_secs_f64(),
        "last": walk.ended,
        "users": walk.users,
        "failure": walk.failure,
    })
}
