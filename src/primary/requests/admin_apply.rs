//! `POST /-/admin/apply`: a directory file becomes the directory, all of it or nothing; applied again it changes nothing.
//! (`prune`: what the file does not name goes; `accept_loss`: however much that is)

use std::fs::File;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::api::blocking::run_blocking;
use crate::model::change::Head;
use crate::model::time::Time;
use crate::net::message::Response;
use crate::primary::apply::constraints::Constraints;
use crate::primary::apply::diff::{DiffError, RecordDiff, Unlisted, diff};
use crate::primary::apply::plan::{ApplyPlan, ApplyStrategy, ApplySummary, plan_by_diff};
use crate::primary::apply::plan_by_lookup::plan_by_lookup;
use crate::primary::apply::plan_unpublished::plan_unpublished as plan_withheld;
use crate::primary::apply::receive::receive_file;
use crate::primary::apply::staged_file::StagedFile;
use crate::primary::call::ApiRequest;
use crate::primary::directory::commit::{WriteGuard, lock_writes};
use crate::primary::directory::unpublished::{self, UnpublishedChanges};
use crate::primary::refusal::{ApiError, HandlerResult};
use crate::primary::replication::accepted_loss;
use crate::primary::state::PrimaryState;

/// What the operator said besides the file.
#[derive(Clone, Copy)]
struct ApplyOptions {
    unlisted: Unlisted,
    accept_loss: bool,
    now: Time,
}

/// Receives, checks, applies, counts.
pub async fn apply(house: &Arc<PrimaryState>, mut call: ApiRequest) -> HandlerResult {
    let unnamed = if call.flag("prune")? { Unlisted::Remove } else { Unlisted::Keep };
    let asked = ApplyOptions { unlisted: unnamed, accept_loss: call.flag("accept_loss")?, now: call.now };
    let body = call.stream.take().ok_or_else(|| ApiError::missing_parameter("the directory file"))?;
    let file = receive_file(body, &house.temp_dir, house.bounds.body_time).await?;
    let at = Arc::clone(house);
    let (head, how, outcome) = run_blocking(move || apply_file(&at, file, asked)).await?;
    tracing::info!(how, seq = head.seq, records = head.state.count, "a directory file was applied");
    Ok(Response::json(StatusCode::OK, summary_json(&head, how, &outcome).to_string()))
}

fn summary_json(head: &Head, how: &str, outcome: &ApplySummary) -> Value {
    let all = outcome.total();
    json!({
        "head": head,
        "seq": head.seq,
        "how": how,
        "added": all.added,
        "changed": all.changed,
        "unchanged": all.unchanged,
        "removed": all.removed,
        "kinds": outcome.kinds,
    })
}

fn apply_file(house: &PrimaryState, file: File, asked: ApplyOptions) -> Result<(Head, &'static str, ApplySummary), ApiError> {
    let mut claims = Constraints::default();
    let spool = StagedFile::read(file, &house.temp_dir, &mut claims)?;
    let writing = lock_writes(house);
    let standing = unpublished::load_all(house.store.private_store())?;
    let directory = house.store.directory();
    let mut planned = match plan_by_lookup(&directory, &spool, &claims, asked.unlisted)? {
        Some(planned) => planned,
        None => plan_by_diff(&directory, &spool, &mut claims, asked.unlisted, house.loss_guard)?,
    };
    drop(directory);
    let beside = plan_withheld(&standing, &spool, &claims, asked.unlisted, house.loss_guard, &mut planned)?;
    let ApplyPlan { summary: outcome, strategy: way, excessive_loss: loss } = planned;
    if let Some(loss) = loss {
        if !asked.accept_loss {
            return Err(loss.to_error());
        }
        // The fleet asks for the same word before it installs a snapshot that lacks so much.
        accepted_loss::accept(house.store.private_store(), asked.now)?;
    }
    let (head, how) = match way {
        ApplyStrategy::Commit(changes) if changes.is_empty() => {
            let how = if beside.is_empty() { "nothing" } else { "withheld" };
            unpublished::write(house.store.private_store(), beside)?;
            (house.store.head(), how)
        }
        ApplyStrategy::Commit(changes) => (
            commit_with_unpublished(house, &writing, beside, |_| Ok(writing.commit("apply", |_| Ok::<_, ApiError>((changes, ())))?.0))?,
            "commit",
        ),
        ApplyStrategy::Replace => (
            commit_with_unpublished(house, &writing, beside, |house| replace_directory(house, &writing, &spool, asked.unlisted))?,
            "replaced",
        ),
    };
    Ok((head, how, outcome))
}

/// Commits to the directory, and changes what is not published with it or not at all: see [`withheld`].
fn commit_with_unpublished(
    house: &PrimaryState,
    writing: &WriteGuard<'_>,
    beside: UnpublishedChanges,
    commit: impl FnOnce(&PrimaryState) -> Result<Head, ApiError>,
) -> Result<Head, ApiError> {
    let ledger = house.store.private_store();
    if beside.is_empty() {
        return commit(house);
    }
    unpublished::write_intent(ledger, &house.store.head(), beside)?;
    match commit(house) {
        Ok(head) => unpublished::apply_intent(ledger).map(|()| head).map_err(ApiError::from),
        Err(refusal) => {
            // Within a commit of nothing, which a store that does not know what is on its disk refuses: then the next start settles it.
            let settled =
                writing.commit("settle", |_| Ok::<_, ApiError>((Vec::new(), unpublished::recover_intent(ledger, &house.store.head())?)));
            if let Err(left) = settled {
                tracing::error!(
                    reason = left.message,
                    "an apply failed, and what it would have changed beside the directory waits for a restart"
                );
            }
            Err(refusal)
        }
    }
}

fn replace_directory(house: &PrimaryState, writing: &WriteGuard<'_>, spool: &StagedFile, unnamed: Unlisted) -> Result<Head, ApiError> {
    let directory = house.store.directory();
    let entries = diff(&directory, spool, unnamed).filter_map(|step| match step {
        Ok(RecordDiff::Unchanged(entry, _) | RecordDiff::Added(entry, _) | RecordDiff::Changed { new: entry, .. }) => Some(Ok(entry)),
        Ok(RecordDiff::Removed(_)) => None,
        Err(stopped) => Some(Err(stopped)),
    });
    writing.replace("apply", entries).map_err(|stopped: DiffError| stopped.into())
}
