//! `POST internal/sidegate/usage`: on which days keys and users were last used at a host. `{"keys": {id: day}, "users": {…}}`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::credentials::last_used::LastUsedSubject;
use crate::primary::state::PrimaryState;

/// How far in the future a host's day may be: its clock may be fast.
const MAX_CLOCK_AHEAD: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageBatch {
    #[serde(default)]
    keys: HashMap<String, String>,
    #[serde(default)]
    users: HashMap<String, String>,
}

/// Records the whole batch, or none of it.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let batch: UsageBatch = request.json_body()?;
    let keys = batch.keys.iter().map(|(id, day)| parse_entry(id, day, request.time.wall).map(|(id, day)| (LastUsedSubject::Key(id), day)));
    let users =
        batch.users.iter().map(|(id, day)| parse_entry(id, day, request.time.wall).map(|(id, day)| (LastUsedSubject::User(id), day)));
    let uses = keys.chain(users).collect::<Result<Vec<_>, _>>()?;
    for (used, day) in uses {
        state.last_used.record(used, day);
    }
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

fn parse_entry(id: &str, day: &str, now: Time) -> Result<(Id, Time), ApiError> {
    let id = id.parse().map_err(ApiError::bad_request)?;
    let day = match format!("{day}T00:00:00Z").parse::<Time>() {
        Ok(start) if day.len() == 10 => start,
        _ => return Err(ApiError::bad_request("a day is YYYY-MM-DD")),
    };
    if day > now.plus(MAX_CLOCK_AHEAD) {
        return Err(ApiError::bad_request("a day lies in the future"));
    }
    Ok((id, day))
}

#[cfg(test)]
mod tests {
    use super::parse_entry;
    use crate::model::time::Time;

    #[test]
    fn a_day_is_a_day_and_not_to_come() {
        let now: Time = "2026-01-31T12:00:00Z".parse().unwrap();
        assert!(parse_entry("7", "2026-01-31", now).is_ok());
        assert!(parse_entry("7", "2026-02-01", now).is_ok(), "a clock may be fast");
        for wrong in ["2026-02-02", "2026-1-31", "2026-01-31T00:00:00Z", "", "soon"] {
            assert!(parse_entry("7", wrong, now).is_err(), "{wrong}");
        }
        assert!(parse_entry("0", "2026-01-31", now).is_err());
    }
}
