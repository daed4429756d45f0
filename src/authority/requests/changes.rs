//! `GET internal/sidegate/changes`: the commits after a cursor, for as long as both ends like.
//!
//! 410: the journal does not reach back so far, or it is of another epoch: take a snapshot; it names the head. 409: the cursor is not one that
//! this primary ever had, so one of the two was restored from a backup: somebody has to look.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::mpsc;

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::following::stream::{PIECES, stream};
use crate::authority::refusal::{Answered, Refusal};
use crate::model::change::{Epoch, Head};
use crate::model::digest::{Digest, State};
use crate::net::message::{Outgoing, Reply};
use crate::store::primary::After;

/// Answers with the stream.
pub async fn changes(house: &Arc<Authority>, call: Call) -> Answered {
    let follower = call.follower()?.clone();
    let at = cursor(&call)?;
    let store = house.store.clone();
    match blocking(move || store.after(at.epoch, at.seq, at.state.digest, 1)).await? {
        After::Commits(_) => {}
        After::Gone => return Ok(gone(&house.store.head())),
        After::Unlike(head) => return Ok(unlike(house, &follower.host, head)),
    }
    let feeding = house.hosts.open(&follower.host, call.now).map_err(Refusal::forbidden)?;
    let (pieces, body) = mpsc::channel(PIECES);
    tokio::spawn(stream(Arc::clone(house), follower, feeding, at, pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(Reply { status: StatusCode::OK, headers, body: Outgoing::stream(body) })
}

fn cursor(call: &Call) -> Result<Head, Refusal> {
    let epoch: Epoch = call.text("epoch")?.parse().map_err(Refusal::bad)?;
    let seq = call.number("after")?.ok_or_else(|| Refusal::missing("after"))?;
    let digest: Digest = call.text("digest")?.parse().map_err(Refusal::bad)?;
    Ok(Head { epoch, seq, state: State { digest, count: 0 } })
}

/// Names the head, so that a host can follow what is taken away from now on while it loads its snapshot.
fn gone(head: &Head) -> Reply {
    let message = "The journal does not reach back to this cursor, or is of another epoch: take a snapshot.";
    let State { digest, count } = head.state;
    let body = json!({"message": message, "epoch": head.epoch, "seq": head.seq, "digest": digest, "count": count});
    Reply::json(StatusCode::GONE, body.to_string())
}

fn unlike(house: &Authority, host: &str, head: Head) -> Reply {
    house.counters.alarm("cursor unlike ours");
    tracing::error!(
        host,
        seq = head.seq,
        "a follower is where this primary never was: was a store restored from a backup? `sidegate admin new-epoch` settles it"
    );
    let message = "This cursor is not one that this primary ever had: one of the two was restored from a backup. \
                   The operator of the primary says `sidegate admin new-epoch` once.";
    Reply::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string())
}
