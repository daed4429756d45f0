//! `POST /-/admin/block-user`: an account is blocked; the response says on which hosts that is in force. (`username`, `wait` in seconds)

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::ApiRequest;
use crate::model::change::Change;
use crate::model::directory::Directory as _;
use crate::model::entry::Entry;
use crate::model::enums::UserState;
use crate::model::record::{Record, User};
use crate::net::message::Response;
use crate::primary::replication::propagation::{self, Propagation};
use crate::primary::state::PrimaryState;

/// Blocks the account, then waits for the fleet if asked to. One that is blocked already is waited for all the same.
pub async fn handle(state: &Arc<PrimaryState>, request: ApiRequest) -> HandlerResult {
    let username = request.required_text("username")?;
    let wait = propagation::parse_wait(request.number("wait")?)?;
    let (head, user) = state
        .writer
        .commit("block-user", move |directory| {
            let user = directory.user_by_username(&username)?.ok_or_else(|| ApiError::not_found("User"))?;
            let blocked = User { state: UserState::Blocked, ..(*user).clone() };
            let changes = if *user == blocked { Vec::new() } else { vec![Change::Put(Entry::from_record(Record::User(blocked))?)] };
            Ok((changes, user))
        })
        .await?;
    tracing::warn!(username = %user.username, seq = head.seq, "the operator blocked user {}", user.username);
    let blocked = json!({"id": user.id, "username": user.username, "before": user.state});
    let Propagation { in_force, pending, missing_hosts, answers_under_way } = state.propagation_monitor().propagation(&head, wait).await;
    let body = json!({
        "message": format!("user {} is blocked", user.username),
        "blocked": blocked,
        "head": head,
        "in_force": in_force,
        "pending": pending,
        "missing_hosts": missing_hosts,
        "answers_under_way": answers_under_way,
    });
    Ok(Response::json(StatusCode::OK, body.to_string()))
}
