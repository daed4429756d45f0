//! `POST /hooks/gitlab`: GitLab's system hooks. Answered as soon as what they tell is on disk: GitLab switches a hook off that fails. What is
//! not understood is counted, and answered all the same. (server.md 5)

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestBody, RequestTime};
use crate::mirror::alarms::AlarmReason;
use crate::mirror::config::DAEMON;
use crate::mirror::directory::finding::{Finding, Source};
use crate::mirror::directory::subject::Subject;
use crate::mirror::hooks::pending::{Noted, ToAsk};
use crate::mirror::metrics::UNREAD_HOOK;
use crate::mirror::questions::Unanswered;
use crate::mirror::state::MirrorState;
use crate::model::id::Id;
use crate::model::key::PublicKey;
use crate::net::message::Response;
use crate::wire::gitlab::hook::{EVENT_HEADER, HookEvent, MalformedHook, NamedKey, SYSTEM_HOOK, TOKEN_HEADER};

/// Takes one hook of somebody who has shown the token.
pub async fn handle(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    take(state, request).await.map_err(|error| error.with_store_of(DAEMON))
}

async fn take(state: &Arc<MirrorState>, request: ApiRequest) -> HandlerResult {
    if header(&request.headers, EVENT_HEADER).is_some_and(|event| event != SYSTEM_HOOK) {
        return Ok(ignored(state, UNREAD_HOOK));
    }
    let RequestBody::Buffered(body) = &request.body else { return Err(ApiError::bad_request(MalformedHook::NotAnObject)) };
    let event = match HookEvent::parse(body) {
        Ok(event) => event,
        Err(error) => {
            state.metrics.count_hook(UNREAD_HOOK, "malformed");
            tracing::warn!("a hook of GitLab's is not understood: {error}");
            return if error == MalformedHook::NotAnObject {
                Err(ApiError::bad_request(error))
            } else {
                Ok(answer("the hook is not understood"))
            };
        }
    };
    let name = event.name();
    match event {
        HookEvent::KeyCreated(key) => note_key(state, name, named_line(state, &key)?, None, request.time).await,
        HookEvent::KeyDestroyed(key) => {
            let (state, time) = (Arc::clone(state), request.time);
            // In a task of its own: a GitLab that hangs up, because the disk is slow, cancels nothing of it.
            let destroying = tokio::spawn(async move { destroy_key(&state, name, key, time).await });
            destroying.await.unwrap_or_else(|ended| Err(ApiError::internal(ended)))
        }
        HookEvent::UserCreated(user) | HookEvent::UserDestroyed(user) | HookEvent::UserRenamed(user) | HookEvent::UserFailedLogin(user) => {
            let to_ask = ToAsk { since: request.time.wall, key: None, destroyed: None };
            note(state, name, Subject::User(user.id), to_ask, request.time).await
        }
        HookEvent::Ignored(name) => Ok(ignored(state, name)),
    }
}

/// Refuses whoever does not show the token, in constant time.
pub fn check_token(state: &MirrorState, headers: &HeaderMap, time: RequestTime) -> Result<(), ApiError> {
    let secrets = state.hook_token.secrets().ok_or_else(|| ApiError::not_found("Hooks"))?;
    let shown = header(headers, TOKEN_HEADER).unwrap_or_default();
    if secrets.matches_accepted(shown.as_bytes(), time.wall) {
        state.alarms.clear(AlarmReason::HookToken);
        return Ok(());
    }
    state.metrics.count_hook(UNREAD_HOOK, "refused");
    let message =
        "a hook carries another token than that of hooks.token_file: set the secret token of GitLab's system hook to it".to_owned();
    state.alarms.raise(AlarmReason::HookToken, message, time.wall);
    Err(ApiError::unauthorized())
}

/// Removes a destroyed key, and notes that it is to be asked about.
async fn destroy_key(state: &Arc<MirrorState>, name: &'static str, key: NamedKey, time: RequestTime) -> HandlerResult {
    let line = named_line(state, &key)?;
    // Removed first: what was asked before this is told would not count, and nobody would ask again.
    let removed = remove_key(state, &key).await;
    // Noted in any case: what the store refuses now is removed as soon as it takes it.
    let noted = note_key(state, name, line, Some(key.id), time).await;
    removed?;
    noted
}

/// Removes a key that GitLab says it has destroyed. On disk when it returns.
async fn remove_key(state: &MirrorState, key: &NamedKey) -> Result<(), ApiError> {
    let directory = &state.settler.directory;
    let fingerprint = match &key.key {
        Some(named) => Some(named.fingerprint()),
        None => directory.key(key.id)?.map(|held| held.key.fingerprint()),
    };
    let Some(fingerprint) = fingerprint else { return Ok(()) };
    let removed = state.settler.publish(Source::Told, vec![(Finding::NoKey { id: key.id, fingerprint }, None)]).await;
    removed.map(drop).map_err(|Unanswered(reason)| ApiError::new(StatusCode::FAILED_DEPENDENCY, reason))
}

/// Returns the key that a hook names: what it says, or what is held of that number.
fn named_line(state: &MirrorState, key: &NamedKey) -> Result<Option<PublicKey>, ApiError> {
    Ok(match &key.key {
        Some(named) => Some(named.clone()),
        None => state.settler.directory.key(key.id)?.map(|held| held.key),
    })
}

async fn note_key(
    state: &Arc<MirrorState>,
    name: &'static str,
    line: Option<PublicKey>,
    destroyed: Option<Id>,
    time: RequestTime,
) -> HandlerResult {
    let Some(line) = line else {
        state.metrics.count_hook(name, "malformed");
        return Ok(answer("the hook names a key that cannot be read"));
    };
    let to_ask = ToAsk { since: time.wall, key: Some(line.to_string()), destroyed };
    note(state, name, Subject::Key(line.fingerprint()), to_ask, time).await
}

/// Notes what is to be asked of GitLab.
async fn note(state: &Arc<MirrorState>, name: &'static str, subject: Subject, to_ask: ToAsk, time: RequestTime) -> HandlerResult {
    state.settler.untold().told(subject, time.boot);
    let outcome = match state.pending.note(subject, to_ask).await? {
        Noted::Stored => "noted",
        Noted::TooMany => {
            let message = "more hooks came than GitLab can be asked about: a full walk begins, and finds what they told".to_owned();
            state.alarms.raise(AlarmReason::HooksOverflow, message, time.wall);
            state.tasks.walk_now();
            "overflow"
        }
    };
    state.metrics.count_hook(name, outcome);
    Ok(answer("noted"))
}

fn ignored(state: &MirrorState, name: &'static str) -> Response {
    state.metrics.count_hook(name, "ignored");
    answer("this says nothing of users or keys")
}

fn answer(message: &str) -> Response {
    Response::json(StatusCode::OK, json!({ "message": message }).to_string())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl From<MalformedHook> for ApiError {
    fn from(error: MalformedHook) -> Self {
        Self::bad_request(error)
    }
}
