//! `GET /-/admin/hosts` and `POST /-/admin/forget-host`: who follows, what binds there, and who is no more.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::authority::authority::Authority;
use crate::authority::blocking::blocking;
use crate::authority::call::Call;
use crate::authority::following::hosts::{Forgotten, Host};
use crate::authority::refusal::{Answered, Refusal};
use crate::model::change::Head;
use crate::model::time::Time;
use crate::net::message::Reply;

/// What is said of a host under whose name two stores follow.
const TWICE: &str = "two stores follow under this name: two hosts of one name, or a copied store";

/// Answers with the head and all hosts by name.
pub async fn hosts(house: &Arc<Authority>, call: Call) -> Answered {
    let head = house.store.head();
    let hosts: Vec<_> = house.hosts.all().iter().map(|(name, host)| describe(name, host, &head, call.now)).collect();
    Ok(Reply::json(StatusCode::OK, json!({"head": head, "hosts": hosts}).to_string()))
}

/// Forgets one that is not connected. (`host`)
pub async fn forget_host(house: &Arc<Authority>, call: Call) -> Answered {
    let name = call.text("host")?;
    let (hosts, ledger, asked) = (Arc::clone(&house.hosts), house.store.ledger().clone(), name.clone());
    match blocking(move || hosts.forget(&asked, &ledger)).await? {
        Forgotten::Gone => {
            tracing::info!(host = %name, "a host was forgotten");
            Ok(Reply::json(StatusCode::OK, json!({"message": format!("host {name} is forgotten")}).to_string()))
        }
        Forgotten::Unknown => Err(Refusal::not_found("Host")),
        Forgotten::Connected => Err(Refusal::conflict("This host is connected now; stop its sidecar first.")),
    }
}

fn describe(name: &str, host: &Host, head: &Head, now: Time) -> Value {
    let lag = host.acked.as_ref().filter(|acked| acked.epoch == head.epoch).map(|acked| head.seq.saturating_sub(acked.seq));
    json!({
        "host": name,
        "connected": host.open > 0,
        "streams": host.open,
        "last_seen": host.seen,
        "acked": host.acked,
        "seq": host.acked.as_ref().map(|acked| acked.seq),
        "lag": lag,
        "until": host.until(),
        "alarm": host.doubled(now).then_some(TWICE),
    })
}
