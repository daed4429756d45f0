//! `POST internal/sidegate/ack`: a host says what binds in its answers and is on its disk.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use crate::authority::authority::Authority;
use crate::authority::call::Call;
use crate::authority::following::hosts::Instance;
use crate::authority::refusal::{Answered, Refusal};
use crate::model::change::Head;
use crate::net::message::Reply;
use crate::wire::feed::Ack;

/// The longest name of an instance.
const INSTANCE_BYTES: usize = 64;

/// Keeps it; 409 if the host holds what this primary never had.
pub async fn ack(house: &Arc<Authority>, call: Call) -> Answered {
    let host = Arc::clone(&call.follower()?.host);
    let ack: Ack = call.object()?;
    if ack.instance.is_empty() || ack.instance.len() > INSTANCE_BYTES || !ack.instance.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::bad(format_args!("instance is 1 to {INSTANCE_BYTES} printable characters")));
    }
    let head = house.store.head();
    if !ours(house, &ack, &head) {
        house.counters.alarm("ack unlike ours");
        tracing::error!(%host, seq = ack.seq, head = head.seq, "a host says that it holds what this primary never had");
        let message = "This primary never had such a directory.";
        return Ok(Reply::json(StatusCode::CONFLICT, json!({"message": message, "epoch": head.epoch, "seq": head.seq}).to_string()));
    }
    match house.hosts.ack(&host, ack, call.now).map_err(Refusal::forbidden)? {
        Instance::Alone => {}
        Instance::Twice => {
            house.counters.alarm("host twice");
            tracing::error!(%host, "two stores follow under the name of one host: two hosts of one name, or a copied store");
        }
    }
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Whether what a host holds is a state that we had, as far as that is still known.
fn ours(house: &Authority, ack: &Ack, head: &Head) -> bool {
    if ack.epoch != head.epoch || ack.seq > head.seq {
        return false;
    }
    if ack.seq == head.seq {
        return ack.digest == head.state.digest;
    }
    house.lines.state_at(ack.epoch, ack.seq).is_none_or(|state| state.digest == ack.digest)
}
