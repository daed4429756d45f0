//! `POST internal/shellhorse/git_audit_event`: what was done over SSH, to be kept. (server.md 7; client.md 2.10)

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::authority::audit::append;
use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::Reply;
use crate::rules::repository;
use crate::wire::params::Params;

/// Commands that are kept.
const ACTIONS: [&str; 2] = ["git-upload-pack", "git-receive-pack"];
/// Fields of an event that are text or numbers.
const FIELDS: [&str; 8] = ["action", "protocol", "gl_repository", "username", "key_id", "check_ip", "changes", "namespace_path"];
/// Numbers of `packfile_stats`, and its texts.
const STATS: [&str; 8] = ["payload_size", "packets", "wants", "haves", "shallows", "caps", "deepen", "filter"];
/// Most bytes of one event.
const EVENT_BYTES: usize = 16 << 10;

/// Keeps the event of a repository that there is; others are none of ours, which is no error.
pub async fn git_audit_event(house: &Arc<Authority>, call: Call) -> Answered {
    let action = call.params.text("action")?.unwrap_or_default();
    if !ACTIONS.contains(&action.as_str()) {
        return Ok(told(StatusCode::BAD_REQUEST, false, "No valid action specified"));
    }
    let word = call.params.text("gl_repository")?.unwrap_or_default();
    if repository::find(&house.store.directory(), Some(&word), None)?.repository.is_none() {
        return Ok(told(StatusCode::OK, false, "No git audit event needed"));
    }
    let event = event(&call)?;
    let ledger = house.store.ledger().clone();
    blocking(move || append(&ledger, &event)).await?;
    Ok(told(StatusCode::OK, true, "Git audit event kept"))
}

fn event(call: &Call) -> Result<Value, Refusal> {
    let mut event = Map::from_iter([("at".to_owned(), json!(call.now))]);
    for field in FIELDS {
        if let Some(text) = call.params.text(field)? {
            event.insert(field.to_owned(), text.into());
        }
    }
    if let Some(Params { mut values }) = call.params.object("packfile_stats")? {
        values.retain(|name, value| STATS.contains(&name.as_str()) && !value.is_null());
        if let Some((name, _)) = values.iter().find(|(_, value)| !is_flat(value)) {
            return Err(Refusal::bad(format_args!("`packfile_stats[{name}]` is a number, a text or a list of texts")));
        }
        event.insert("packfile_stats".to_owned(), values.into());
    }
    let event = Value::from(event);
    if event.to_string().len() > EVENT_BYTES {
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("an event is at most {EVENT_BYTES} bytes")));
    }
    Ok(event)
}

fn is_flat(stat: &Value) -> bool {
    match stat {
        Value::Number(_) | Value::String(_) => true,
        Value::Array(texts) => texts.iter().all(Value::is_string),
        Value::Null | Value::Bool(_) | Value::Object(_) => false,
    }
}

fn told(status: StatusCode, kept: bool, text: &str) -> Reply {
    Reply::json(status, json!({"status": kept, "message": text}).to_string())
}
