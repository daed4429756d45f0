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
        return bad_request(&format!("the parameter `{unread}` is not understood here"));
    }
    let (key, identifier) = match (params.text("key"), params.text("user_identifier")) {
        (Ok(key), Ok(identifier)) => (key, identifier),
        (Err(bad), _) | (_, Err(bad)) => return bad_request(&bad.to_string()),
    };
    // What is missing is the primary's to refuse, or not to ask for.
    let given = [("key", &key), ("user_identifier", &identifier)];
    let query = encode(given.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    let question = Question { kind: Kind::AuthorizedCerts, target: format!("/api/v4/internal/authorized_certs?{query}"), body: None };
    match house.asking.ask(question, Sort::KeyMiss, call.moment).await {
        Told::Decided(decided) => headers::forwarded(Reply::json(decided.status, decided.body)),
        Told::Failed(outage) => outage.of_a_question(),
    }
}
