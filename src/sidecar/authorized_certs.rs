//! `authorized_certs`: which user and group does a certificate stand for? Always the primary's to say. (server.md 2.11; client.md 2.2)

use std::sync::Arc;

use crate::net::budget::Sort;
use crate::net::message::Reply;
use crate::sidecar::asking::{Question, Told};
use crate::sidecar::body::bad_request;
use crate::sidecar::decision::Kind;
use crate::sidecar::gate::Call;
use crate::sidecar::headers;
use crate::sidecar::house::Sidecar;
use crate::wire::credentials::SHARED_SECRET_PARAMETER;
use crate::wire::params::encode;

/// Answers `GET internal/authorized_certs?key=&user_identifier=`.
pub(in crate::sidecar) async fn answer(house: &Arc<Sidecar>, mut call: Call) -> Reply {
    let params = match call.decoded(house).await {
        Ok(params) => params,
        Err(refused) => return refused,
    };
    if let Some(unread) = params.unknown(&["key", "user_identifier", SHARED_SECRET_PARAMETER]) {
        return bad_request(&format!("400 Bad request - the parameter `{unread}` is not understood here"));
    }
    let (key, identifier) = match (params.text("key"), params.text("user_identifier")) {
        (Ok(Some(key)), Ok(Some(identifier))) => (key, identifier),
        (Err(bad), _) | (_, Err(bad)) => return bad_request(&bad.to_string()),
        _ => return bad_request("400 Bad request - `key` and `user_identifier` are needed"),
    };
    let query = encode([("key", key.as_str()), ("user_identifier", identifier.as_str())]);
    let question = Question { kind: Kind::AuthorizedCerts, target: format!("/api/v4/internal/authorized_certs?{query}"), body: None };
    match house.asking.ask(question, Sort::KeyMiss, call.moment).await {
        Told::Decided(decided) => headers::forwarded(Reply::json(decided.status, decided.body)),
        Told::Failed(outage) => outage.of_a_question(),
    }
}
