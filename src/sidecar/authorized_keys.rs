//! `authorized_keys`: whose key is this? (server.md 2.3)
//!
//! A hit is said from the directory while it is fresh, and while the primary fails until it expires. A no is said from a whole
//! directory whose feed was caught up; otherwise the primary is asked. What is no Base64 of a blob, or longer than any key, is a miss
//! wherever it is looked for, and is never asked: no answer about it could be accepted. An expired key or a blocked owner is still a hit: `allowed` tells
//! the person why they may not.

use std::sync::Arc;

use http::StatusCode;

use crate::model::directory::Fault;
use crate::model::freshness::{Class, View};
use crate::model::key::Fingerprint;
use crate::model::level::KeyUsage;
use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::sidecar::asking::{Question, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::{Decided, Kind, asked_blob};
use crate::sidecar::gate::{Believed, Call};
use crate::sidecar::house::Sidecar;
use crate::sidecar::known::Known;
use crate::sidecar::{forward, headers};
use crate::wire::answer;
use crate::wire::credentials::SHARED_SECRET_PARAMETER;

/// Answers `GET internal/authorized_keys?key=`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.unknown(&["key", SHARED_SECRET_PARAMETER]) {
        return beyond(house, call, unread).await;
    }
    let key = match params.text("key") {
        Ok(Some(key)) => key,
        Ok(None) => return bad_request("key is missing"),
        Err(bad) => return bad_request(&bad.to_string()),
    };
    let known = house.known(Class::Keys, call.moment).await;
    let Some(blob) = asked_blob(&key) else { return headers::local(miss(), known.age) };
    let held = look_up(&known, &blob);
    match &held {
        Held::Hit(body) if known.fresh() => return headers::local(hit(body), known.age),
        Held::Miss if known.fresh() && known.may_deny() => return headers::local(miss(), known.age),
        _ => {}
    }
    let sort = if matches!(held, Held::Hit(_)) { Sort::Other } else { Sort::KeyMiss };
    let target = format!("/api/v4/internal/authorized_keys?{}", crate::wire::params::encode([("key", key.as_str())]));
    match house.asking.ask(Question { kind: Kind::AuthorizedKeys(blob), target, body: None }, sort, call.moment).await {
        Told::Decided(Decided { status, body, .. }) => headers::forwarded(Reply::json(status, body)),
        Told::Failed(outage) => match held {
            Held::Hit(body) => headers::degraded(headers::local(hit(&body), known.age)),
            Held::Miss if known.may_deny() => headers::degraded(headers::local(miss(), known.age)),
            Held::Miss | Held::Unknown => outage.of_a_question(),
        },
    }
}

/// What the directory says of a key.
enum Held {
    /// The body of the hit.
    Hit(String),
    /// It is not there.
    Miss,
    /// There is no directory to look in, or it could not be read.
    Unknown,
}

fn look_up(known: &Known, blob: &[u8]) -> Held {
    let Some(view) = &known.view else { return Held::Unknown };
    match found(view, &Fingerprint::of(blob)) {
        Ok(Some(body)) => Held::Hit(body),
        Ok(None) => Held::Miss,
        Err(fault) => {
            tracing::error!(reason = %fault, "a key could not be looked up; asking the primary");
            Held::Unknown
        }
    }
}

fn found(view: &View, fingerprint: &Fingerprint) -> Result<Option<String>, Fault> {
    let Some(key) = view.directory.key_with(fingerprint)?.filter(|key| key.usage != KeyUsage::Signing) else { return Ok(None) };
    let owner = key.user_id.map(|id| view.directory.user(id)).transpose()?.flatten();
    let settings = view.directory.settings()?;
    Ok(Some(answer::authorized_key(&key, owner.as_deref(), &settings.host)))
}

fn hit(body: &str) -> Reply {
    Reply::json(StatusCode::OK, body.to_owned())
}

fn miss() -> Reply {
    Reply::json(StatusCode::NOT_FOUND, answer::message("404 Key Not Found"))
}

/// A parameter that we do not read: the primary's to judge, if the caller may have it signed.
async fn beyond(house: &Arc<Sidecar>, call: Call, unread: &str) -> Reply {
    match call.believed {
        Believed::Token => forward::answer(house, call).await,
        Believed::Keys | Believed::Unsigned => bad_request(&format!("the parameter `{unread}` is not understood here")),
    }
}
