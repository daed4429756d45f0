//! `-/admin/log-level` of every daemon: how much is logged, read and changed while it runs.
//!
//! There is one log in a process, and so one control of it; whoever starts the log hands it over here.

use std::sync::{Arc, OnceLock};

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;

/// The log, as far as it can be changed while it runs.
pub trait LogControl: Send + Sync {
    /// Returns the least severe level that is logged: `error`, `warn`, `info`, `debug` or `trace`.
    fn level(&self) -> &'static str;

    /// Changes it, until the next start. Fails with what was expected for a word that is no level.
    fn set_level(&self, level: &str) -> Result<(), String>;
}

static CONTROL: OnceLock<Box<dyn LogControl>> = OnceLock::new();

/// Hands the log of this process over. Only the first one counts.
pub fn set_control(control: Box<dyn LogControl>) {
    let _second = CONTROL.set(control);
}

/// Changes the level of this process's log, as its configuration has it now. Does nothing in a process without a log.
pub fn change(level: &str) -> Result<(), String> {
    CONTROL.get().map_or(Ok(()), |control| control.set_level(level))
}

/// Answers `GET` with the level.
pub async fn level<S>(_state: &Arc<S>, _request: ApiRequest) -> HandlerResult {
    let control = CONTROL.get().ok_or_else(no_log)?;
    let message = format!("the log level is {}", control.level());
    Ok(Response::json(StatusCode::OK, json!({"level": control.level(), "message": message}).to_string()))
}

/// Answers `POST` with the parameter `level`, and changes it.
pub async fn set_level<S>(_state: &Arc<S>, request: ApiRequest) -> HandlerResult {
    let control = CONTROL.get().ok_or_else(no_log)?;
    let before = control.level();
    control.set_level(&request.required_text("level")?).map_err(ApiError::bad_request)?;
    let level = control.level();
    let message = format!("the log level is {level} now, and was {before}; after a restart it is the configuration's again");
    Ok(Response::json(StatusCode::OK, json!({"level": level, "before": before, "message": message}).to_string()))
}

fn no_log() -> ApiError {
    ApiError::conflict("this process has no log whose level can be changed")
}
