//! `POST /-/admin/verify`: is the store what the primary has?

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::net::message::Response;
use crate::sidecar::state::SidecarState;

/// Adds the store up and compares it with the primary; 409 if that cannot be done.
pub async fn handle(state: &Arc<SidecarState>, _request: ApiRequest) -> HandlerResult {
    if !state.config.follows_feed && state.mirror.is_none() {
        let text = "this host follows no feed: there is no copy of a directory to compare; each kept answer has its own age, see `sidegate explain`";
        return Err(ApiError::conflict(text));
    }
    let mut report = (state.config.replica_control.verify)().await.map_err(ApiError::conflict)?;
    report["message"] = json!(describe(&report));
    Ok(Response::json(StatusCode::OK, report.to_string()))
}

/// Returns what was found, in words, and what follows from it.
fn describe(report: &Value) -> String {
    let count = &report["scanned"]["count"];
    match report["finding"].as_str() {
        Some("equal") => {
            let seq = &report["primary"]["seq"];
            format!("equal: the {count} records on this host add up to what the primary said of its commit {seq}")
        }
        Some("damaged") => format!(
            "different: {count} records can be read, and the store says it has {}; it is put into quarantine and loaded anew, see `sidegate status`",
            report["stored"]["count"]
        ),
        Some("unlike") => format!(
            "different: the {count} records on this host are intact, and the primary has {} or others at the same commit; they are loaded anew, see `sidegate status`",
            report["primary"]["count"]
        ),
        _ => format!(
            "not compared: the {count} records on this host are intact, and no line of the primary about the same commit was heard; try again once `sidegate status` says that it follows"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::describe;

    #[test]
    fn each_finding_is_a_sentence_with_its_numbers() {
        for (finding, begins) in [
            ("equal", "equal: the 7 records on this host add up to what the primary said of its commit 3"),
            ("damaged", "different: 7 records can be read, and the store says it has 8;"),
            ("unlike", "different: the 7 records on this host are intact, and the primary has 9"),
            ("primary_not_heard", "not compared: the 7 records on this host are intact"),
        ] {
            let report = json!({"finding": finding, "scanned": {"count": 7}, "stored": {"count": 8}, "primary": {"seq": 3, "count": 9}});
            let text = describe(&report);
            assert!(text.starts_with(begins), "{text}");
        }
    }
}
