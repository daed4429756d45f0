//! `GET /-/admin/export`: the directory file, in the order of a snapshot. It holds the tokens of Gitalys: keep it at 0600.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::stream::{PIECES, Pieces};
use crate::authority::refusal::Answered;
use crate::net::message::{CutOff, Outgoing, Reply};
use crate::store::generation::Generation;

/// Bytes that are sent at a time.
const PIECE: usize = 128 << 10;

/// Answers with the stream.
pub async fn export(house: &Arc<Authority>, _call: Call) -> Answered {
    let (pieces, body) = mpsc::channel(PIECES);
    let directory = house.store.directory();
    tokio::task::spawn_blocking(move || write(&directory, &pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))]);
    Ok(Reply { status: StatusCode::OK, headers, body: Outgoing::stream(body) })
}

/// Writes until the end, or until nobody reads; what ends early looks cut off.
fn write(directory: &Generation, pieces: &Pieces) {
    let mut piece = Vec::with_capacity(PIECE * 2);
    for entry in directory.entries() {
        match entry {
            Ok(entry) => {
                piece.extend_from_slice(entry.text().as_bytes());
                piece.push(b'\n');
            }
            Err(damage) => {
                tracing::error!(%damage, "an export was cut off");
                let _gone = pieces.blocking_send(Err(CutOff));
                return;
            }
        }
        if piece.len() >= PIECE && pieces.blocking_send(Ok(Bytes::from(std::mem::take(&mut piece)))).is_err() {
            return;
        }
    }
    if !piece.is_empty() {
        let _gone = pieces.blocking_send(Ok(Bytes::from(piece)));
    }
}
