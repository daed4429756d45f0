//! `authorized_keys`: whose key is this? (server.md 2.3)
//!
//! A hit is said from the directory while it is fresh, and while the primary fails until it expires. A no is said from a whole
//! directory whose feed was caught up; otherwise the primary is asked. What is no Base64 of a blob, or longer than any key, is a miss
//! wherever it is looked for, and is never asked: no answer about it could be accepted. An expired key or a blocked owner is still a hit: `allowed` tells
//! the person why they may not.

use std::sync::Arc;

use http::StatusCode;

use crate::model::directory::DirectoryError;
use crate::model::enums::KeyUsage;
use crate::model::freshness::{DirectoryView, FreshnessClass};
use crate::model::key::Fingerprint;
use crate::net::message::Response;
use crate::sidecar::body::bad_request_response;
use crate::sidecar::cached_view::CachedView;
use crate::sidecar::gate::{ApiRequest, Authentication};
use crate::sidecar::headers;
use crate::sidecar::requests::passthrough;
use crate::sidecar::state::SidecarState;
use crate::sidecar::upstream::client::{QueryOutcome, UpstreamQuery};
use crate::sidecar::upstream::concurrency_limit::RequestClass;
use crate::sidecar::upstream::decision::{Decision, QueryKind, decode_requested_blob};
use crate::wire::auth::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::authorized_keys::encode_authorized_key;
use crate::wire::http::message::encode_message;

/// Answers `GET internal/authorized_keys?key=`.
pub(in crate::sidecar) async fn handle(house: &Arc<SidecarState>, mut call: ApiRequest) -> Response {
    let params = match call.decode_params(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.first_unknown(&["key", SHARED_SECRET_PARAMETER]) {
        return handle_unknown_parameter(house, call, unread).await;
    }
    let key = match params.text("key") {
        Ok(Some(key)) => key,
        Ok(None) => return bad_request_response("key is missing"),
        Err(bad) => return bad_request_response(&bad.to_string()),
    };
    let known = house.cached_view(FreshnessClass::Keys, call.received_at).await;
    let Some(blob) = decode_requested_blob(&key) else { return headers::mark_local(miss_response(), known.age) };
    let held = look_up_key(&known, &blob);
    match &held {
        KeyLookup::Hit(body) if known.is_fresh() => return headers::mark_local(hit_response(body), known.age),
        KeyLookup::Miss if known.is_fresh() && known.may_deny() => return headers::mark_local(miss_response(), known.age),
        _ => {}
    }
    let sort = if matches!(held, KeyLookup::Hit(_)) { RequestClass::Other } else { RequestClass::KeyMiss };
    let target = format!("/api/v4/internal/authorized_keys?{}", crate::wire::http::params::encode_form([("key", key.as_str())]));
    match house.upstream.query(UpstreamQuery { kind: QueryKind::AuthorizedKeys(blob), target, body: None }, sort, call.received_at).await {
        QueryOutcome::Decided(Decision { status, body, .. }) => headers::mark_forwarded(Response::json(status, body)),
        QueryOutcome::Failed(outage) => match held {
            KeyLookup::Hit(body) => headers::mark_degraded(headers::mark_local(hit_response(&body), known.age)),
            KeyLookup::Miss if known.may_deny() => headers::mark_degraded(headers::mark_local(miss_response(), known.age)),
            KeyLookup::Miss | KeyLookup::Unavailable => outage.query_response(),
        },
    }
}

/// What the directory says of a key.
enum KeyLookup {
    /// The body of the hit.
    Hit(String),
    /// It is not there.
    Miss,
    /// There is no directory to look in, or it could not be read.
    Unavailable,
}

fn look_up_key(known: &CachedView, blob: &[u8]) -> KeyLookup {
    let Some(view) = &known.view else { return KeyLookup::Unavailable };
    match find_key_body(view, &Fingerprint::of(blob)) {
        Ok(Some(body)) => KeyLookup::Hit(body),
        Ok(None) => KeyLookup::Miss,
        Err(fault) => {
            tracing::error!(reason = %fault, "a key could not be looked up; asking the primary");
            KeyLookup::Unavailable
        }
    }
}

fn find_key_body(view: &DirectoryView, fingerprint: &Fingerprint) -> Result<Option<String>, DirectoryError> {
    let Some(key) = view.directory.key_by_fingerprint(fingerprint)?.filter(|key| key.usage != KeyUsage::Signing) else { return Ok(None) };
    let owner = key.user_id.map(|id| view.directory.user(id)).transpose()?.flatten();
    let settings = view.directory.settings()?;
    Ok(Some(encode_authorized_key(&key, owner.as_deref(), &settings.host)))
}

fn hit_response(body: &str) -> Response {
    Response::json(StatusCode::OK, body.to_owned())
}

fn miss_response() -> Response {
    Response::json(StatusCode::NOT_FOUND, encode_message("404 Key Not Found"))
}

/// A parameter that we do not read: the primary's to judge, if the caller may have it signed.
async fn handle_unknown_parameter(house: &Arc<SidecarState>, call: ApiRequest, unread: &str) -> Response {
    match call.authentication {
        Authentication::Token => passthrough::handle(house, call).await,
        Authentication::KeysScope | Authentication::NoCredentials => {
            bad_request_response(&format!("the parameter `{unread}` is not understood here"))
        }
    }
}
