//! `POST /-/admin/apply`: a directory file becomes the directory, all of it or nothing; applied again it changes nothing.
//! (`prune`: what the file does not name is removed; `accept_loss`: however much that is; `undo_revocations`: also what was revoked;
//! `dry_run`: nothing is written, and the answer says what would have been)

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::api::error::{ApiError, HandlerResult};
use crate::api::request::{ApiRequest, RequestBody};
use crate::net::message::Response;
use crate::primary::apply::diff::Unlisted;
use crate::primary::apply::execute::{Applied, ApplyMode, ApplyOptions, apply_file};
use crate::primary::apply::held_revocations::{OnRevoked, RevokedLine};
use crate::primary::apply::receive::receive_file;
use crate::primary::state::PrimaryState;

/// How many revocations a line of the log names.
const MAX_LOGGED: usize = 10;

/// Receives the file, applies it, and answers with the counts.
pub async fn handle(state: &Arc<PrimaryState>, mut request: ApiRequest) -> HandlerResult {
    let unlisted = if request.flag("prune")? { Unlisted::Remove } else { Unlisted::Keep };
    let on_revoked = if request.flag("undo_revocations")? { OnRevoked::Undo } else { OnRevoked::Hold };
    let mode = if request.flag("dry_run")? { ApplyMode::DryRun } else { ApplyMode::Commit };
    let options = ApplyOptions { unlisted, accept_loss: request.flag("accept_loss")?, on_revoked, mode, now: request.time.wall };
    let RequestBody::Unread(body) = request.take_body() else { return Err(ApiError::missing_parameter("the directory file")) };
    let store = state.store.clone();
    // Said before the file is sent, which may be gigabytes.
    run_blocking(move || store.look_for_room(true)).await?;
    let file = receive_file(body, &state.temp_dir, state.api.limits().body_time).await?;
    let shared = Arc::clone(state);
    let applied = run_blocking(move || apply_file(&shared.apply_target(), file, options)).await?;
    if mode == ApplyMode::DryRun {
        tracing::info!("directory file checked; a dry run writes nothing");
        return Ok(Response::json(StatusCode::OK, applied_json(&applied).to_string()));
    }
    let (how, seq, records) = (applied.how, applied.head.seq, applied.head.state.count);
    tracing::info!(how, seq, records, "directory file applied ({how}): {records} records at seq {seq}");
    if applied.redirects > 0 {
        let redirects = applied.redirects;
        tracing::info!(redirects, seq, "{redirects} projects were renamed; each old path leads to its project");
    }
    log_revocations("were held against", &applied.revocations.held);
    log_revocations("were undone by", &applied.revocations.undone);
    Ok(Response::json(StatusCode::OK, applied_json(&applied).to_string()))
}

/// Says which revocations a file had to do with, the first of them by name.
fn log_revocations(outcome: &'static str, lines: &[RevokedLine]) {
    if lines.is_empty() {
        return;
    }
    let count = lines.len();
    let named: Vec<String> = lines.iter().take(MAX_LOGGED).map(|line| line.revocation.to_string()).collect();
    let named = named.join(", ");
    tracing::warn!(count, "{count} revocations {outcome} a directory file: {named}");
}

fn applied_json(applied: &Applied) -> Value {
    let Applied { head, how, summary, redirects, revocations, refusal } = applied;
    let total = summary.total();
    json!({
        "head": head,
        "seq": head.seq,
        "how": how,
        "added": total.added,
        "changed": total.changed,
        "unchanged": total.unchanged,
        "removed": total.removed,
        "redirects": redirects,
        "revocations": {"held": revocations.held, "undone": revocations.undone, "ended": revocations.ended},
        "kinds": summary.kinds,
        "refusal": refusal.as_ref().map(|refusal| &refusal.message),
    })
}
