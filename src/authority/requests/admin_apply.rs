//! `POST /-/admin/apply`: a directory file becomes the directory, all of it or nothing; applied again it changes nothing.
//! (`prune`: what the file does not name goes; `accept_loss`: however much that is)

use std::fs::File;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::authority::apply::beside::plan_beside;
use crate::authority::apply::claims::Claims;
use crate::authority::apply::join::{Step, Stopped, Unnamed, join};
use crate::authority::apply::plan::{Outcome, Plan, Way, plan};
use crate::authority::apply::receive::receive;
use crate::authority::apply::spool::Spool;
use crate::authority::apply::withheld::plan as plan_withheld;
use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::following::loss;
use crate::authority::refusal::{Answered, Refusal};
use crate::authority::withheld::{self, Changes};
use crate::authority::write::{Writing, writing};
use crate::model::change::Head;
use crate::model::time::Time;
use crate::net::message::Reply;

/// What the operator said besides the file.
#[derive(Clone, Copy)]
struct Asked {
    unnamed: Unnamed,
    accept_loss: bool,
    now: Time,
}

/// Receives, checks, applies, counts.
pub async fn apply(house: &Arc<Authority>, mut call: Call) -> Answered {
    let unnamed = if call.switch("prune")? { Unnamed::Goes } else { Unnamed::Stays };
    let asked = Asked { unnamed, accept_loss: call.switch("accept_loss")?, now: call.now };
    let body = call.stream.take().ok_or_else(|| Refusal::missing("the directory file"))?;
    let file = receive(body, &house.workshop, house.bounds.body_time).await?;
    let at = Arc::clone(house);
    let (head, how, outcome) = blocking(move || apply_file(&at, file, asked)).await?;
    tracing::info!(how, seq = head.seq, records = head.state.count, "a directory file was applied");
    Ok(Reply::json(StatusCode::OK, describe(&head, how, &outcome).to_string()))
}

fn describe(head: &Head, how: &str, outcome: &Outcome) -> Value {
    let all = outcome.all();
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

fn apply_file(house: &Authority, file: File, asked: Asked) -> Result<(Head, &'static str, Outcome), Refusal> {
    let mut claims = Claims::default();
    let spool = Spool::read(file, &house.workshop, &mut claims)?;
    let writing = writing(house);
    let standing = withheld::all(house.store.ledger())?;
    let directory = house.store.directory();
    let mut planned = match plan_beside(&directory, &spool, &claims, asked.unnamed)? {
        Some(planned) => planned,
        None => plan(&directory, &spool, &mut claims, asked.unnamed, house.loss_guard)?,
    };
    drop(directory);
    let beside = plan_withheld(&standing, &spool, &claims, asked.unnamed, house.loss_guard, &mut planned)?;
    let Plan { outcome, way, loss } = planned;
    if let Some(loss) = loss {
        if !asked.accept_loss {
            return Err(loss.refusal());
        }
        // The fleet asks for the same word before it installs a snapshot that lacks so much.
        loss::accept(house.store.ledger(), asked.now)?;
    }
    let (head, how) = match way {
        Way::Commit(changes) if changes.is_empty() => {
            let how = if beside.is_empty() { "nothing" } else { "withheld" };
            withheld::write(house.store.ledger(), beside)?;
            (house.store.head(), how)
        }
        Way::Commit(changes) => {
            (with(house, &writing, beside, |_| Ok(writing.commit("apply", |_| Ok::<_, Refusal>((changes, ())))?.0))?, "commit")
        }
        Way::Replace => (with(house, &writing, beside, |house| replace(house, &writing, &spool, asked.unnamed))?, "replaced"),
    };
    Ok((head, how, outcome))
}

/// Commits to the directory, and changes what is not published with it or not at all: see [`withheld`].
fn with(
    house: &Authority,
    writing: &Writing<'_>,
    beside: Changes,
    commit: impl FnOnce(&Authority) -> Result<Head, Refusal>,
) -> Result<Head, Refusal> {
    let ledger = house.store.ledger();
    if beside.is_empty() {
        return commit(house);
    }
    withheld::intend(ledger, &house.store.head(), beside)?;
    match commit(house) {
        Ok(head) => withheld::fulfil(ledger).map(|()| head).map_err(Refusal::from),
        Err(refusal) => {
            // Within a commit of nothing, which a store that does not know what is on its disk refuses: then the next start settles it.
            let settled = writing.commit("settle", |_| Ok::<_, Refusal>((Vec::new(), withheld::settle(ledger, &house.store.head())?)));
            if let Err(left) = settled {
                tracing::error!(
                    reason = left.text,
                    "an apply failed, and what it would have changed beside the directory waits for a restart"
                );
            }
            Err(refusal)
        }
    }
}

fn replace(house: &Authority, writing: &Writing<'_>, spool: &Spool, unnamed: Unnamed) -> Result<Head, Refusal> {
    let directory = house.store.directory();
    let entries = join(&directory, spool, unnamed).filter_map(|step| match step {
        Ok(Step::Kept(entry, _) | Step::Added(entry, _) | Step::Changed { new: entry, .. }) => Some(Ok(entry)),
        Ok(Step::Removed(_)) => None,
        Err(stopped) => Some(Err(stopped)),
    });
    writing.replace("apply", entries).map_err(|stopped: Stopped| stopped.into())
}
