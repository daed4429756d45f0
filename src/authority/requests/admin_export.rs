//! `GET /-/admin/export`: the directory file, in the order of a snapshot, then what is never
//! published. It holds the tokens of Gitalys: keep it at 0600.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::stream::{PIECES, Pieces};
use crate::authority::refusal::Answered;
use crate::authority::withheld;
use crate::net::message::{CutOff, Outgoing, Reply};
use crate::store::generation::Damage;
use crate::store::primary::PrimaryStore;

/// Bytes that are sent at a time.
const PIECE: usize = 128 << 10;

/// Answers with the stream.
pub async fn export(house: &Arc<Authority>, _call: Call) -> Answered {
    let (pieces, body) = mpsc::channel(PIECES);
    let store = house.store.clone();
    tokio::task::spawn_blocking(move || write(&store, &pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(Reply { status: StatusCode::OK, headers, body: Outgoing::stream(body) })
}

/// Writes until the end, or until nobody reads; what ends early looks cut off.
fn write(store: &PrimaryStore, pieces: &Pieces) {
    if let Err(damage) = lines(store, pieces) {
        tracing::error!(%damage, "an export was cut off");
        let _gone = pieces.blocking_send(Err(CutOff));
    }
}

fn lines(store: &PrimaryStore, pieces: &Pieces) -> Result<(), Damage> {
    let withheld = withheld::all(store.ledger())?;
    let published = store.directory().entries().map(|entry| entry.map(|entry| entry.text().to_owned()));
    let beside = withheld.iter().map(|record| record.canonical().map_err(|error| Damage(error.to_string())));
    let mut piece = Vec::with_capacity(PIECE * 2);
    for text in published.chain(beside) {
        piece.extend_from_slice(text?.as_bytes());
        piece.push(b'\n');
        if piece.len() >= PIECE && pieces.blocking_send(Ok(Bytes::from(std::mem::take(&mut piece)))).is_err() {
            return Ok(());
        }
    }
    if !piece.is_empty() {
        let _gone = pieces.blocking_send(Ok(Bytes::from(piece)));
    }
    Ok(())
}
