//! `GET internal/sidegate/snapshot`: the whole directory, JSON Lines in zstd.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::snapshots::send;
use crate::authority::following::stream::PIECES;
use crate::authority::refusal::{Answered, Refusal};
use crate::net::message::{Outgoing, Reply};

/// Waits for a turn, then answers with the stream.
pub async fn snapshot(house: &Arc<Authority>, call: Call) -> Answered {
    let host = Arc::clone(&call.follower()?.host);
    let turn = house
        .snapshots
        .turn()
        .await
        .ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "Too many hosts take a snapshot at this moment; come again."))?;
    let snapshot = house.snapshots.recent(house).await?;
    tracing::info!(%host, "a snapshot is sent");
    let (pieces, body) = mpsc::channel(PIECES);
    tokio::spawn(send(snapshot, turn, pieces));
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/zstd"))]);
    Ok(Reply { status: StatusCode::OK, headers, body: Outgoing::stream(body) })
}
