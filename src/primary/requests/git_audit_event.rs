//! `POST internal/shellhorse/git_audit_event`: what was done over SSH, to be kept. (server.md 7; client.md 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::primary::extras::audit_log::append;
use crate::primary::state::PrimaryState;
use crate::rules::repository;
use crate::wire::http::params::Params;

/// Commands that are kept.
const RECORDED_ACTIONS: [&str; 2] = ["git-upload-pack", "git-receive-pack"];
/// Fields of an event that are text or numbers.
const EVENT_FIELDS: [&str; 8] = ["action", "protocol", "gl_repository", "username", "key_id", "check_ip", "changes", "namespace_path"];
/// Numbers of `packfile_stats`, and its texts.
const PACKFILE_STATS: [&str; 8] = ["payload_size", "packets", "wants", "haves", "shallows", "caps", "deepen", "filter"];
/// Most bytes of one event.
const MAX_EVENT_BYTES: usize = 16 << 10;

/// Stores the event if the repository exists; otherwise nothing is stored, which is no error.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let action = request.params.text("action")?.unwrap_or_default();
    if !RECORDED_ACTIONS.contains(&action.as_str()) {
        return Ok(status_response(StatusCode::BAD_REQUEST, false, "No valid action specified"));
    }
    let gl_repository = request.params.text("gl_repository")?.unwrap_or_default();
    if repository::find_repository(&state.store.directory(), Some(&gl_repository), None)?.repository.is_none() {
        return Ok(status_response(StatusCode::OK, false, "No git audit event needed"));
    }
    let event = parse_event(&request)?;
    let private_store = state.store.private_store().clone();
    run_blocking(move || append(&private_store, &event)).await?;
    Ok(status_response(StatusCode::OK, true, "Git audit event kept"))
}

fn parse_event(request: &ApiRequest) -> Result<Value, ApiError> {
    let mut event = Map::from_iter([("at".to_owned(), json!(request.time.wall))]);
    for field in EVENT_FIELDS {
        if let Some(text) = request.params.text(field)? {
            event.insert(field.to_owned(), text.into());
        }
    }
    if let Some(Params { mut values }) = request.params.object("packfile_stats")? {
        values.retain(|name, value| PACKFILE_STATS.contains(&name.as_str()) && !value.is_null());
        if let Some((name, _)) = values.iter().find(|(_, value)| !is_number_or_text(value)) {
            return Err(ApiError::bad_request(format_args!("`packfile_stats[{name}]` is a number, a text or a list of texts")));
        }
        event.insert("packfile_stats".to_owned(), values.into());
    }
    let event = Value::from(event);
    if event.to_string().len() > MAX_EVENT_BYTES {
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("an event is at most {MAX_EVENT_BYTES} bytes")));
    }
    Ok(event)
}

fn is_number_or_text(stat: &Value) -> bool {
    match stat {
        Value::Number(_) | Value::String(_) => true,
        Value::Array(texts) => texts.iter().all(Value::is_string),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

fn status_response(status: StatusCode, kept: bool, text: &str) -> Response {
    Response::json(status, json!({"status": kept, "message": text}).to_string())
}
