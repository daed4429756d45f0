//! `POST internal/sidegate/usage`: on which days keys and people were last seen at a host. `{"keys": {id: day}, "users": {…}}`

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::usage::Used;
use crate::model::id::Id;
use crate::model::time::Time;
use crate::net::message::Reply;

/// How far ahead a host's day may be: its clock may be a little fast.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    #[serde(default)]
    keys: HashMap<String, String>,
    #[serde(default)]
    users: HashMap<String, String>,
}

/// Takes the whole batch, or none of it.
pub async fn usage(house: &Arc<Authority>, call: Call) -> Answered {
    let batch: Batch = call.object()?;
    let keys = batch.keys.iter().map(|(id, day)| read(id, day, call.now).map(|(id, day)| (Used::Key(id), day)));
    let users = batch.users.iter().map(|(id, day)| read(id, day, call.now).map(|(id, day)| (Used::User(id), day)));
    let uses = keys.chain(users).collect::<Result<Vec<_>, _>>()?;
    for (used, day) in uses {
        house.usage.note(used, day);
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn read(id: &str, day: &str, now: Time) -> Result<(Id, Time), Refusal> {
    let id = id.parse().map_err(Refusal::bad)?;
    let day = match format!("{day}T00:00:00Z").parse::<Time>() {
        Ok(start) if day.len() == 10 => start,
        _ => return Err(Refusal::bad("a day is YYYY-MM-DD")),
    };
    if day > now.plus(AHEAD) {
        return Err(Refusal::bad("a day lies in the future"));
    }
    Ok((id, day))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::model::time::Time;

    #[test]
    fn a_day_is_a_day_and_not_to_come() {
        let now: Time = "2026-01-31T12:00:00Z".parse().unwrap();
        assert!(read("7", "2026-01-31", now).is_ok());
        assert!(read("7", "2026-02-01", now).is_ok(), "a clock may be fast");
        for wrong in ["2026-02-02", "2026-1-31", "2026-01-31T00:00:00Z", "", "soon"] {
            assert!(read("7", wrong, now).is_err(), "{wrong}");
        }
        assert!(read("0", "2026-01-31", now).is_err());
    }
}
